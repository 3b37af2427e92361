"""`key list`, `key rotate`, `key kill`."""

import click
import msgspec

from service.cli import edge
from service.cli.grammar import Group
from service.domain.keyring import Described, Killed
from service.flows.keys.kill import kill_key
from service.flows.keys.read import list_keys
from service.flows.keys.rotate import rotate_keys
from service.kernel.call import Call
from service.kernel.jose import ALGORITHMS, Algorithm
from service.runtime import Runtime


@click.group(cls=Group)
def key() -> None:
    """Signing keys."""


@key.command("list")
@click.option("--json", "as_json", is_flag=True)
def show(*, as_json: bool) -> None:
    """List the keys, the newest first, and the times at which their states change."""

    async def act(rt: Runtime, call: Call) -> list[tuple[Described, str]]:
        return [(one, one.state(call.at)) for one in await list_keys(rt, call)]

    found = edge.run(act)
    lines = [f"{one.kid}  {one.algorithm}  {state}" for one, state in found]
    items = [msgspec.to_builtins(one) | {"state": state} for one, state in found]
    edge.tell("\n".join(lines), {"items": items}, as_json=as_json)


@key.command("rotate")
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="Default: that of access tokens.")
@click.option("--json", "as_json", is_flag=True)
def rotate(algorithm: Algorithm | None, *, as_json: bool) -> None:
    """Publish the next key of an algorithm.  It signs after the time that the policy sets."""

    async def act(rt: Runtime, call: Call) -> Described:
        return await rotate_keys(rt, call, algorithm)

    made = edge.run(act)
    edge.tell(
        f"{made.algorithm} key {made.kid} published;"
        f" it signs from {made.activates_at:%Y-%m-%d %H:%M:%S} UTC on",
        msgspec.to_builtins(made),
        as_json=as_json,
    )


@key.command("kill")
@click.argument("kid")
@click.option("--json", "as_json", is_flag=True)
def kill(kid: str, *, as_json: bool) -> None:
    """Kill a key: every token of it is refused.

    If it was the active key of an algorithm in use, a new key signs at once.
    """

    async def act(rt: Runtime, call: Call) -> Killed:
        return await kill_key(rt, call, kid)

    killed = edge.run(act)
    successor = killed.successor.kid if killed.successor else None
    signs = f"; {successor} signs from now on" if successor else ""
    edge.tell(
        f"key {kid} killed, it was {killed.state}{signs}",
        {"killed": kid, "state": killed.state, "successor": successor},
        as_json=as_json,
    )
