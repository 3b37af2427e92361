"""`python -m docs`, called by `./dev docs`."""

import argparse
import sys
from pathlib import Path

from docs import reference, site

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".data" / "docs"


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 when a link is broken, or a page is not what the code says."""
    parser = argparse.ArgumentParser(
        prog="./dev docs", description="Build the documentation as a site, and check every link."
    )
    parser.add_argument("--serve", action="store_true", help="show it on localhost")
    parser.add_argument("--port", type=int, default=8000, help="for --serve (default: 8000)")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="write the pages of docs/ that are made from the code, and nothing else",
    )
    parser.add_argument(
        "--check", action="store_true", help="also fail when such a page is not what the code says"
    )
    asked = parser.parse_args(arguments)
    if asked.reference:
        return reference.write()
    stale = reference.stale() if asked.check else []
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not what the code says: run {reference.COMMAND}")
    built = site.build(ROOT, FOLDER)
    if built is None:
        return 1
    print(f"Built {(built / 'index.html').relative_to(ROOT)}.")
    if asked.serve:
        site.serve(built, asked.port)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
