"""Where the time of each hot path goes: py-spy looks at the one worker while the loader asks.

py-spy is no dependency: it is taken from PATH, or from the variable PY_SPY.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.children import child
from bench.deployment import deployed
from bench.paths import LOADED, REACHED, Bench, HotPath, Plan, reference_beside
from service.embedded.checkout import ROOT

_SECONDS = 4
_SETTLE_SECONDS = 1.0
_TOP = 30
_SCAFFOLD = ("multiprocessing/", "server/", "click/", "cli/", "runpy", "__main__", "reference.py")
"""Files of what stands around every request."""
_IDLE = "_worker (futures/thread.py)"
_PLAN = Plan(1, 2 * _SECONDS + 4.0, (1,), (32,), 1_000)


async def profiles(only: Sequence[str] = (), say: Callable[[str], None] = print) -> int:
    """Profile each path; print what costs most, write flame graphs; return the exit status."""
    py_spy = os.environ.get("PY_SPY") or shutil.which("py-spy")
    if py_spy is None:
        say("bench: py-spy is needed on PATH (or PY_SPY=/path/to/it) to profile")
        return 1
    folder = ROOT / ".data" / "bench" / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(deployed(workers=1))
        reference = await stack.enter_async_context(reference_beside(1, b"{}"))
        bench = Bench(
            _PLAN,
            made,
            await stack.enter_async_context(child("bench.loader", LOADED)),
            await stack.enter_async_context(child("bench.floor", REACHED)),
            reference,
        )
        for path in await bench.paths():
            charged = path.charged()
            if not charged or (only and path.title not in only):
                continue
            worker = charged["service"][-1]
            await _profile(bench, path, worker, Path(py_spy), folder, say)
    for problem in bench.problems:
        say(f"PROBLEM: {problem}")
    return 1 if bench.problems else 0


async def _profile(
    bench: Bench,
    path: HotPath,
    worker: int,
    py_spy: Path,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    loading = asyncio.create_task(bench.once(path, _PLAN.connections[0], _PLAN.seconds))
    await asyncio.sleep(_SETTLE_SECONDS)
    name = path.title.replace(" ", "-").replace("/", "-")
    raw = folder / f"{name}.txt"
    for kind, out in (("raw", raw), ("flamegraph", folder / f"{name}.svg")):
        sampling = await asyncio.create_subprocess_exec(
            *(str(py_spy), "record", "--pid", str(worker), "--duration", str(_SECONDS)),
            *("--rate", "200", "--format", kind, "--output", str(out)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await sampling.wait()
    await loading
    say(f"\n{path.title}: {folder / f'{name}.svg'}")
    say(report(raw.read_text()))


def report(stacks: str) -> str:
    """Say which functions cost most, with what they call, as shares of all samples.

    `stacks` are lines `frame;frame;... count`, the outermost frame first.
    """
    within: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [_named(frame) for frame in frames.split(";")]
        if names[-1] == _IDLE:
            continue
        total += int(count)
        alone[names[-1]] += int(count)
        for name in set(names):
            within[name] += int(count)
    if not total:
        return "  no samples"
    lines = [f"  {'in all':>7}{'alone':>7}"]
    shown = [name for name, _ in within.most_common() if not any(s in name for s in _SCAFFOLD)]
    for name in shown[:_TOP]:
        samples = within[name]
        lines.append(f"  {samples / total:7.1%}{alone[name] / total:7.1%}  {name}")
    return "\n".join(lines)


def _named(frame: str) -> str:
    """Shorten `function (/a/long/path/file.py:12)` to `function (path/file.py)`."""
    function, _, place = frame.partition(" (")
    file = place.rpartition(":")[0] or place.rstrip(")")
    return f"{function} ({'/'.join(Path(file).parts[-2:])})"
