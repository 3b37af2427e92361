"""A progress bar for slow commands, and the steps that all exports share."""

import sys
from collections.abc import Callable
from typing import Any

import click

from service.cli import edge
from service.flows.trail.exports import Begun, Progress, run
from service.runtime import Runtime

_STEPS = 10_000


class Bar:
    """A progress bar on standard error, if that is a terminal.  It is set to a fraction of 1."""

    def __init__(self, label: str) -> None:
        self._bar = click.progressbar(length=_STEPS, label=label, file=sys.stderr)

    def __enter__(self) -> Callable[[float], None]:
        self._bar.__enter__()
        return self._move

    def __exit__(self, *exc: object) -> None:
        self._bar.__exit__(None, None, None)

    def _move(self, fraction: float) -> None:
        self._bar.update(max(0, round(fraction * _STEPS) - self._bar.pos))


async def write(rt: Runtime, begun: Begun) -> dict[str, Any]:
    """Write the file; return its description."""
    last = Progress(begun.name, 0, 0.0)
    with Bar("exporting") as move:
        async for last in run(rt, begun):
            move(last.fraction)
    folder = rt.settings.data_dir / "organizations" / str(begun.chain_id) / "exports"
    return {
        "file": str(folder / last.name),
        "events": last.events,
        "bytes": last.size,
        "sha256": last.sha256.hex() if last.sha256 else None,
    }


def tell(told: dict[str, Any], *, as_json: bool) -> None:
    """Print what was written."""
    edge.tell(
        f"{told['events']} events in {told['file']} ({told['bytes']} bytes)\n"
        f"sha256 {told['sha256']}",
        told,
        as_json=as_json,
    )
