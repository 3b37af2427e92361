"""`audit verify`, `audit export`, `audit checkpoints`."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli import edge
from service.cli.export import Bar, tell, write
from service.cli.grammar import Group
from service.domain.seals import Checked, Checkpoint
from service.flows.shared.find_organization import find_tenant
from service.flows.shared.reach import THE_PLATFORM
from service.flows.trail.exports import ToExport, begin
from service.flows.trail.read import EVENT_TYPES
from service.flows.upkeep.checkpoints import every_checkpoint
from service.flows.upkeep.verify_trail import verify_trail
from service.kernel.call import Call
from service.kernel.ids import TenantId
from service.runtime import Runtime

_organization = click.option("--organization", help="Slug.")
_platform = click.option("--platform", is_flag=True, help="Events of no organization.")
_json = click.option("--json", "as_json", is_flag=True)
_time = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.group(cls=Group)
def audit() -> None:
    """The audit trail: verify it, export it, keep its checkpoints."""


@audit.command("verify")
@_organization
@_platform
@click.option(
    "--checkpoint",
    "checkpoint_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Checkpoints that were kept elsewhere, one per line.",
)
@_json
def verify(
    organization: str | None, checkpoint_file: Path | None, *, platform: bool, as_json: bool
) -> None:
    """Check every event against its seal; exit status 1 when anything is wrong.

    Checks one organization, the platform, or all of them.
    """
    saved = checkpoint_file.read_bytes().splitlines() if checkpoint_file else []

    async def act(rt: Runtime, _call: Call) -> list[Checked]:
        there = await _there(rt, organization, platform=platform)
        with Bar("verifying") as move:
            return await verify_trail(
                rt,
                there,
                saved=[line for line in saved if line.strip()],
                watch=lambda done, of: move(done / of if of else 1.0),
            )

    results = edge.run(act)
    findings = [finding for one in results for finding in one.findings]
    lines = [
        f"{found.fault}: chain {found.chain_id}"
        + (f", position {found.position}" if found.position is not None else "")
        + (f", event {found.event_id}" if found.event_id else "")
        + f": {found.told}"
        for found in findings
    ]
    counted = {
        name: sum(getattr(one, name) for one in results)
        for name in ("events", "expired", "erased", "waiting", "checkpoints")
    }
    waiting = [one.waiting_since for one in results if one.waiting_since is not None]
    since = f" (since {min(waiting):%Y-%m-%d %H:%M:%S} UTC)" if waiting else ""
    summary = (
        f"{counted['events']} events in {len(results)} chains,"
        f" {counted['checkpoints']} checkpoints, {counted['erased']} erased,"
        f" {counted['expired']} dropped by retention,"
        f" {counted['waiting']} not sealed yet{since}:"
        f" {f'{len(findings)} faults' if findings else 'nothing was changed'}"
    )
    told = {
        "valid": not findings,
        **counted,
        "chains": [msgspec.to_builtins(one) for one in results],
    }
    edge.tell("\n".join([*lines, summary]), told, as_json=as_json)
    if findings:
        sys.exit(1)


@audit.command("export")
@_organization
@_platform
@click.option("--from", "first", type=_time, help="UTC; included.")
@click.option("--to", "until", type=_time, help="UTC; not included.")
@click.option("--type", "event_type", type=click.Choice(EVENT_TYPES), metavar="TYPE")
@_json
def export(
    organization: str | None,
    first: datetime | None,
    until: datetime | None,
    event_type: str | None,
    *,
    platform: bool,
    as_json: bool,
) -> None:
    """Write events as NDJSON (gzip) to the organization's folder under AUTH_DATA_DIR."""

    async def act(rt: Runtime, call: Call) -> dict[str, Any]:
        there = await _there(rt, organization, platform=platform)
        if there is None:
            edge.fail("give an organization, or --platform", 2)
        begun = await begin(
            rt,
            call,
            ToExport(
                tenant_id=there,
                first=_utc(first),
                until=_utc(until),
                event_type=event_type,
            ),
        )
        return await write(rt, begun)

    tell(edge.run(act), as_json=as_json)


@audit.command("checkpoints")
@_organization
@_platform
def checkpoints(organization: str | None, *, platform: bool) -> None:
    """Print signed checkpoints, one JSON object per line.  Keep them out of this server's reach."""

    async def act(rt: Runtime, _call: Call) -> list[Checkpoint]:
        return await every_checkpoint(rt, await _there(rt, organization, platform=platform))

    for one in edge.run(act):
        line = {
            "id": str(one.checkpoint_id),
            "tenant_id": None if one.chain_id == THE_PLATFORM else str(one.chain_id),
            "position": one.position,
            "kind": one.kind,
            "signed_at": one.signed_at,
            "kid": one.kid,
            "public_jwk": msgspec.Raw(one.public_jwk.encode()),
            "token": one.token,
        }
        click.echo(msgspec.json.encode(line))


async def _there(rt: Runtime, organization: str | None, *, platform: bool) -> TenantId | None:
    if organization is not None and platform:
        edge.fail("either an organization or --platform", 2)
    if organization is not None:
        return await find_tenant(rt, organization)
    return THE_PLATFORM if platform else None


def _utc(given: datetime | None) -> datetime | None:
    return None if given is None else given.replace(tzinfo=UTC)
