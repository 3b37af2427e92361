"""`secret recipient create|list|delete`, `secret rotate-master`."""

import sys
from collections.abc import Callable

import click
import msgspec

from service.cli import edge
from service.cli.grammar import Group
from service.domain.vault import Recipient
from service.flows.vault import recipients
from service.flows.vault.recipients import NewRecipient
from service.flows.vault.rotate_master import Outcome, check_master, count_sealed, rotate_master
from service.kernel.call import Call
from service.runtime import Runtime


@click.group(cls=Group)
def secret() -> None:
    """Recipients of secrets, and the master keys."""


@secret.group("recipient")
def recipient() -> None:
    """Services that may get secrets."""


@recipient.command("create")
@click.argument("name")
@click.option("--client", "client_id", help="Client with scope secrets:sealed; default: a new one.")
@click.option("--json", "as_json", is_flag=True)
def create(name: str, client_id: str | None, *, as_json: bool) -> None:
    """Make a service a recipient of secrets.  Its key is shown only this once."""

    async def act(rt: Runtime, call: Call) -> NewRecipient:
        return await recipients.create_recipient(rt, call, name, client_id)

    made = edge.run(act)
    lines = [f"recipient {name} created: client {made.recipient.client_id}"]
    if made.created is not None:
        lines.append(f"client secret, shown this once: {made.created.secret}")
    lines.append(f"key, shown this once: {made.key}")
    told = {
        "recipient": name,
        "client_id": made.recipient.client_id,
        "client_secret": made.created.secret if made.created else None,
        "key": made.key,
    }
    edge.tell("\n".join(lines), told, as_json=as_json)


@recipient.command("list")
@click.option("--json", "as_json", is_flag=True)
def show(*, as_json: bool) -> None:
    """List the recipients."""

    async def act(rt: Runtime, call: Call) -> list[Recipient]:
        return await recipients.list_recipients(rt, call)

    found = edge.run(act)
    lines = [f"{one.name}  client {one.client_id}" for one in found]
    edge.tell("\n".join(lines), {"items": msgspec.to_builtins(found)}, as_json=as_json)


@recipient.command("delete")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
def delete(name: str, *, as_json: bool) -> None:
    """Remove a recipient: it gets no more secrets.  Its client stays."""

    async def act(rt: Runtime, call: Call) -> None:
        await recipients.delete_recipient(rt, call, name)

    edge.run(act)
    edge.tell(f"recipient {name} deleted", {"deleted": name}, as_json=as_json)


@secret.command("rotate-master")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 when an older key is needed.")
@click.option("--json", "as_json", is_flag=True)
def rotate(*, check: bool, as_json: bool) -> None:
    """Encrypt everything again under the newest master key.

    First set AUTH_MASTER_KEYS on every instance to the new key, a comma, and the old key.  You can
    stop this command at any moment and run it again.  When --check passes, remove the old key.
    """

    async def act(rt: Runtime, call: Call) -> Outcome:
        total = await count_sealed(rt)
        label = "checking" if check else "re-sealing"
        with click.progressbar(length=total, label=label, file=sys.stderr) as bar:
            told: Callable[[int], None] = bar.update
            if check:
                return await check_master(rt, told)
            return await rotate_master(rt, call, told)

    outcome = edge.run(act)
    for line in outcome.broken:
        click.echo(f"tesserra-auth: {line}", err=True)
    edge.tell(_said(outcome, check=check), msgspec.to_builtins(outcome), as_json=as_json)
    if outcome.broken or (check and outcome.older):
        sys.exit(1)


def _said(outcome: Outcome, *, check: bool) -> str:
    if not check:
        return (
            f"{outcome.resealed} of {outcome.total} sealed anew under master key {outcome.key_id}"
        )
    if outcome.older:
        return (
            f"{outcome.older} of {outcome.total} still depend on an older key than {outcome.key_id}"
        )
    if outcome.broken:
        return f"{len(outcome.broken)} of {outcome.total} do not open"
    return f"all {outcome.total} open with master key {outcome.key_id} alone"
