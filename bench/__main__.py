"""`python -m bench`, called by `./dev bench`."""

import argparse
import asyncio
import sys

from service.embedded.servers import EmbeddedError


def main(arguments: list[str]) -> int:
    """Return the exit status: 0 only when everything was answered as it should be."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, for everyday use")
    what = parser.add_subparsers(dest="what", metavar="revocation", required=True)
    what.add_parser("revocation", help="how fast a revocation is known everywhere").add_argument(
        "--quick", action="store_true", help="fewer revocations (under 40 s)"
    )
    asked = parser.parse_args(arguments)
    try:
        from bench.revocation import revocation  # noqa: PLC0415 - each verb loads its own

        return asyncio.run(revocation(quick=asked.quick))
    except EmbeddedError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
