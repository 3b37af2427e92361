"""The figures of the last full runs, as bench/RESULTS.md shows them: `./dev bench report`.

Written between two marks of that page, from bench/results/*.json alone; a test compares.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from bench import growth, paths, peers
from bench.figures import median
from bench.machine import Machine
from bench.marked import write

COMMAND = "./dev bench report"
PAGE = paths.RESULTS.parent / "RESULTS.md"
_DIGITS = 100
Kept = TypeVar("Kept")


def report() -> int:
    """Write the figures into the page; return the exit status."""
    return write(PAGE, COMMAND, figures())


def figures() -> str:
    """Return the figures as Markdown."""
    parts = [
        *_of("paths", paths.Result, _paths),
        *_of("growth", growth.Result, _growth),
        *_of("peers", peers.Result, _peers),
    ]
    return "\n\n".join(parts)


def _of(name: str, kind: type[Kept], told: Callable[[Kept], Iterable[str]]) -> Iterable[str]:
    """Tell what a whole run said; nothing where there was none yet."""
    path = paths.RESULTS / f"{name}.json"
    return told(msgspec.json.decode(path.read_bytes(), type=kind)) if path.exists() else ()


def _paths(result: paths.Result) -> Iterable[str]:
    main = paths.main_connections({one.connections for one in result.measured})
    told = paths.verdicts(result)

    def rows(shown: Iterable[paths.Measured]) -> Sequence[Sequence[str]]:
        return [_row(one, told.get(id(one), [])) for one in shown]

    heading = (
        "path", "workers", "connections", "per second", "±", "p50 ms", "p99 ms",
        "µs CPU service / PostgreSQL / Redis", "per core", "ratio (goal)",
    )  # fmt: skip
    yield f"### Hot paths\n\n{_machine(result.machine)}"
    first = min(one.workers for one in result.measured)
    shown = [o for o in result.measured if o.connections == main and o.workers == first]
    yield _table(heading, rows(shown))
    yield "![hot paths as shares of their references](results/paths.svg)"
    memory = {one.workers: one.memory_mib for one in result.measured}
    each = "; ".join(
        f"{workers} workers {', '.join(f'{mib:.0f}' for mib in mibs)} MiB"
        for workers, mibs in memory.items()
    )
    yield (
        f"Memory (PSS) of each worker after the last round: {each}; the goal is"
        f" {paths.MEMORY_MIB} and {paths.HASHING_MIB} to hash in. *Per core* is a second divided by"
        " what one request costs the service, PostgreSQL and Redis together: what to reckon"
        " capacity with."
    )
    rest = [one for one in result.measured if one not in shown]
    if rest:
        yield '<details markdown="1"><summary>Other numbers of workers and connections</summary>'
        yield _table(heading, rows(rest))
        yield "</details>"


def _row(one: paths.Measured, reached: Sequence[str]) -> Sequence[str]:
    spent = [one.cpu(whose) for whose in ("service", "postgresql", "redis")]
    return (
        one.path,
        f"{one.workers}",
        f"{one.connections}",
        f"{one.rate:,.0f}",
        f"{one.spread:.0%}",
        _milliseconds([r.p50 for r in one.rounds]),
        _milliseconds([r.p99 for r in one.rounds]),
        " / ".join(f"{each:,.0f}" for each in spent) if any(spent) else "",
        f"{1e6 / sum(spent):,.0f}" if any(spent) else "",
        ", ".join(reached),
    )


def _milliseconds(times: Sequence[float]) -> str:
    found = median(times) * 1000
    return f"{found:,.1f}" if found else ""


def _growth(result: growth.Result) -> Iterable[str]:
    sizes = list(dict.fromkeys(str(one.size) for one in result.shares))
    by_path: dict[str, dict[str, growth.Share]] = {}
    for one in result.shares:
        by_path.setdefault(one.path, {})[str(one.size)] = one
    yield (
        f"### Growth\n\n{_machine(result.machine)} Two deployments take turns, one of them filled;"
        f" the figure is the filled one's rate as a share of the other's (goal: {growth.FLAT:.2f})."
    )
    yield _table(
        ("path", *sizes),
        [(path, *(_share(found.get(size)) for size in sizes)) for path, found in by_path.items()],
    )
    yield "; ".join(
        f"memory of its worker with {s}: {mib:.0f} MiB" for s, mib in result.memory.items()
    )


def _share(one: "growth.Share | None") -> str:
    if one is None:
        return ""
    return f"{one.share:.2f}" + ("" if one.share >= growth.FLAT else " MISSED")


def _peers(result: peers.Result) -> Iterable[str]:
    servers = [
        peers.OURS,
        *(s for s in dict.fromkeys(o.server for o in result.measured) if s != peers.OURS),
    ]
    rates = {(one.server, one.path): one.rate for one in result.measured}
    yield f"### Peers\n\n{_machine(result.machine)}"
    rows = []
    for path, goal in peers.GOALS.items():
        times = peers.times_best(result, path)
        told = ""
        if times is not None:
            told = f"{times:.1f}x ({goal:.1f}x{'' if times >= goal else ' MISSED'})"
        cells = [_rate(rates.get((server, path))) for server in servers]
        rows.append((path, *cells, told))
    yield _table(("requests a second", *servers, "ours / best (goal)"), rows)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    yield f"{result.notes}\n- Versions: {versions}."


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:,.0f}" if rate >= _DIGITS else f"{rate:,.1f}"


def _machine(machine: Machine) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"{machine.day}, {machine.system}, {machine.cores} cores shared by load, service and"
        f" servers, {machine.memory_gib:.0f} GiB, load {machine.load_before:.1f} before;"
        f" Python {machine.python}, {machine.servers}, {packages}."
    )


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
