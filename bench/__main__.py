"""`python -m bench`, called by `./dev bench`."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine

from service.embedded.servers import EmbeddedError


def main(arguments: list[str]) -> int:
    """Return the exit status: 0 only when everything was answered as it should be."""
    parser = argparse.ArgumentParser(
        prog="./dev bench", description="What the service costs, and how fast it revokes."
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="paths",
        choices=[
            *("paths", "growth", "peers", "revocation", "keys", "profile", "audit"),
            *("against", "report"),
        ],
        help="paths: every hot path with its reference (the default);"
        " growth: the same with a thousand and with a million sessions, families and keys;"
        " peers: the same work on other servers;"
        " revocation: how long a revoked token is accepted anywhere;"
        " keys: checks of API keys on one worker, with and without a query each time;"
        " profile: where the time of each path goes;"
        " audit: the trail with ten million events;"
        " against: this checkout and another commit, in turns;"
        " report: the figures of the last whole runs, into bench/RESULTS.md",
    )
    parser.add_argument("--quick", action="store_true", help="less of it, for everyday use")
    parser.add_argument("commit", nargs="?", default="HEAD", help="against which commit")
    parser.add_argument("--only", action="append", default=[], help="one path (may be repeated)")
    asked = parser.parse_args(arguments)
    if asked.what == "report":
        from bench.report import report  # noqa: PLC0415 - each loads its own

        return report()
    if asked.what == "against":
        from bench.against import against  # noqa: PLC0415

        return against(asked.commit, asked.only)
    try:
        return asyncio.run(_work(asked.what, quick=asked.quick, only=asked.only))
    except EmbeddedError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _work(what: str, *, quick: bool, only: list[str]) -> Coroutine[None, None, int]:
    if what == "revocation":
        from bench.revocation import revocation  # noqa: PLC0415 - each loads its own

        return revocation(quick=quick)
    if what == "profile":
        from bench.profiles import profiles  # noqa: PLC0415

        return profiles(only)
    if what == "keys":
        from bench.keys import keys  # noqa: PLC0415

        return keys(quick=quick)
    if what == "audit":
        from bench.audit import trail  # noqa: PLC0415

        return trail(100_000 if quick else 10_000_000)
    if what == "growth":
        from bench.growth import growth  # noqa: PLC0415

        return growth(quick=quick)
    if what == "peers":
        from bench.peers import peers  # noqa: PLC0415

        return peers(quick=quick, only=only)
    from bench.paths import paths  # noqa: PLC0415

    return paths(quick=quick, only=only)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
