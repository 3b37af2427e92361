"""I8: nothing of another organization, by any id, in any list."""

import random
from typing import Any

import msgspec

from faults.client import Client
from faults.report import Report
from faults.site import Device, Site
from service.embedded.checkout import ROOT

_SLOW = ("/revocations/stream",)
_OUT = ("/auth/logout", "/auth/logout-all")
_BODIES: dict[str, Any] = {
    "PUT /admin/users/{user_id}/role": {"role": "member"},
    "PUT /admin/organizations/{tenant_id}": {"name": "Renamed"},
    "POST /api-keys/{key_id}/rotate": {"overlap_seconds": 0},
    "PUT /admin/secrets/{name}": {"value": "theirs"},
}


async def climb_walls(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Try every route with every id of another organization, in path, query and body."""
    document = msgspec.json.decode((ROOT / "openapi" / "tesserra-auth.json").read_bytes())
    doors = [
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if path not in _SLOW + _OUT
    ]
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
        client = site.client(report)
        victim = await site.newcomer(role="owner")
        foreign = await _world(report, client, victim, f"canary-{dice.getrandbits(64):x}")
        before = await _state(site, victim)
        spy = await site.newcomer(role="owner")
        for method, path in doors:
            await _try(report, client, spy, method, path, foreign)
        report.expect("I8", before == await _state(site, victim), "a stranger changed something")
        answer = await client.ask("GET", "/auth/me", bearer=victim.access_token)
        report.expect("I8", answer.ok, f"a stranger ended a session: {answer.status}")
        client.close()
        report.rounds += 1


async def _world(report: Report, client: Client, device: Device, canary: str) -> dict[str, str]:
    """Make one of everything; return ids by the name of the parameter they go in."""
    token = device.access_token
    key = await client.ask(
        "POST", "/api-keys", bearer=token, json={"name": canary, "scopes": ["agentes"]}
    )
    secret = await client.ask(
        "PUT", f"/admin/secrets/{canary}", bearer=token, json={"value": f"value {canary}"}
    )
    report.expect("harness", key.ok and secret.ok, f"no world: {key.status}, {secret.status}")
    return {
        "session_id": device.session_id,
        "user_id": str(device.account.user_id),
        "tenant_id": str(device.organization.tenant_id),
        "organization": device.organization.slug,
        "key_id": key.json()["id"],
        "name": canary,
        "version": "1",
        "kid": "none",
        "jti": "none",
        "email": device.account.email,
    }


async def _try(
    report: Report, client: Client, spy: Device, method: str, path: str, foreign: dict[str, str]
) -> None:
    there = path
    for name, value in foreign.items():
        there = there.replace(f"{{{name}}}", value)
    query = "&".join(f"{name}={value}" for name, value in foreign.items() if name != "version")
    tried = [there, f"{there}?tenant_id={foreign['tenant_id']}", f"{there}?{query}"]
    for url in tried if method == "GET" else tried[:2]:
        body = None if method == "GET" else _BODIES.get(f"{method} {path}", {})
        answer = await client.ask(method, url, bearer=spy.access_token, json=body)
        report.faults["doors tried"] += 1
        text = answer.body.decode(errors="replace")
        for name, value in foreign.items():
            if name in ("version", "kid", "jti"):
                continue
            shown = value in text and not (name == "name" and method == "PUT")
            report.expect("I8", not shown, f"{method} {url}: shows the {name} of another")


async def _state(site: Site, device: Device) -> list[dict[str, object]]:
    """Return what a stranger could have changed."""
    tenant_id = device.organization.tenant_id
    return [
        row
        for statement in (
            "SELECT name, disabled_at, policy::text FROM auth_organizations WHERE tenant_id = $1",
            "SELECT user_id, role, disabled_at FROM auth_memberships WHERE tenant_id = $1",
            "SELECT key_id, revoked_at, successor_id FROM auth_api_keys WHERE tenant_id = $1",
            "SELECT secret_id, name FROM auth_secrets WHERE tenant_id = $1",
            "SELECT session_id, ended_at FROM auth_sessions WHERE tenant_id = $1",
        )
        for row in await site.fetch(statement, tenant_id)
    ]
