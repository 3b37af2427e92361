"""This checkout beside another commit of it: is any path slower than it was?

The two take turns, each with the harness and the packages of its own commit, on the same machine in
the same minutes.  Each turn gives a pair; the middle one of the pairs' ratios is the answer.
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.figures import median
from bench.paths import Measured, Result
from service.embedded.checkout import ROOT

TURNS = 5
SHARE = 0.95
"""A path is slower when it keeps less than this of its rate."""
HOT = ("me", "api-keys/verify", "refresh", "introspect", "client_credentials")


class Compared(Struct, frozen=True):
    """One path: the middle rates per second, and the middle of the pairs' ratios."""

    path: str
    before: float
    after: float
    rate: float
    cpu: float
    """Processor time of the service per answer, after to before."""


def against(commit: str, only: Sequence[str]) -> int:
    """Return the exit status: 0 when no path is slower than `SHARE` of what it was."""
    asked = tuple(only) or HOT
    with _checkout(commit) as other:
        pairs = []
        for turn in range(TURNS):
            order = (other, ROOT) if turn % 2 == 0 else (ROOT, other)
            results = {tree: _measure(tree, asked) for tree in order}
            pairs.append((results[other], results[ROOT]))
            print(f"turn {turn + 1} of {TURNS} done", flush=True)
    return tell([compare(path, pairs) for path in asked])


def tell(compared: Sequence[Compared]) -> int:
    """Print the table; return the exit status."""
    print(f"{'path':20} {'before/s':>9} {'after/s':>9} {'rate':>6} {'µs CPU':>7}")
    for one in compared:
        slow = "" if one.rate >= SHARE else "  SLOWER"
        rates = f"{one.before:9,.0f} {one.after:9,.0f} {one.rate:6.2f} {one.cpu:7.2f}"
        print(f"{one.path:20} {rates}{slow}")
    return int(any(one.rate < SHARE for one in compared))


@contextlib.contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        tree = Path(folder) / "before"
        _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True)  # noqa: S607


def _measure(tree: Path, paths: Sequence[str]) -> Result:
    chosen = [word for path in paths for word in ("--only", path)]
    ran = subprocess.run(
        [sys.executable, str(tree / "dev"), "bench", "--quick", *chosen],
        check=False,
        capture_output=True,
        text=True,
    )
    kept = tree / ".data" / "bench" / "paths.json"
    if not kept.is_file():
        raise SystemExit(f"bench: nothing was measured in {tree}:\n{ran.stdout}{ran.stderr}")
    result = msgspec.json.decode(kept.read_bytes(), type=Result)
    kept.unlink()
    return result


def compare(path: str, pairs: Sequence[tuple[Result, Result]]) -> Compared:
    """Compare one path over all turns.  SystemExit when it was not measured."""
    found = [(_of(before, path), _of(after, path)) for before, after in pairs]
    return Compared(
        path,
        median([before.rate for before, _ in found]),
        median([after.rate for _, after in found]),
        median([after.rate / before.rate for before, after in found]),
        median([after.cpu("service") / before.cpu("service") for before, after in found]),
    )


def _of(result: Result, path: str) -> Measured:
    found = next((one for one in result.measured if one.path == path), None)
    if found is None:
        raise SystemExit(f"bench: {path} was not measured")
    return found
