"""`python -m service.embedded VERB`, called by `./dev`."""

import sys

from service.embedded.checkout import Checkout
from service.embedded.servers import EmbeddedError

USAGE = "usage: python -m service.embedded serve | cli ARGS | reset | schema [--check]"


def main(arguments: list[str]) -> int:
    """Run one verb and return the exit status."""
    try:
        match arguments:
            case ["serve"]:
                from service.embedded.serve import serve  # noqa: PLC0415 - each verb loads its own

                return serve()
            case ["cli", *rest]:
                from service.embedded.serve import cli  # noqa: PLC0415

                return cli(rest)
            case ["reset"]:
                Checkout().reset()
                print("The development servers' data is gone.")
                return 0
            case ["schema", *rest] if rest in ([], ["--check"]):
                from service.embedded.schema import schema  # noqa: PLC0415

                return schema(check=bool(rest))
            case _:
                print(USAGE, file=sys.stderr)
                return 2
    except EmbeddedError as exc:
        print(f"dev: {exc}", file=sys.stderr)
    except PermissionError as exc:
        print(
            f"dev: {exc.filename} is another user's: run ./dev as they do, or in your own clone",
            file=sys.stderr,
        )
    except OSError as exc:
        print(f"dev: {exc.filename or 'the system'}: {exc.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
