"""I8: nothing of another organization, by any id, in any list, by any clock.

And nothing there changes by what is done here, also to a person who is a member of both.
"""

import asyncio
import random
from typing import Any

import msgspec

from faults.assaults.apart import tell_apart
from faults.client import Client
from faults.report import Report
from faults.site import Device, Site
from service.embedded.checkout import ROOT

_SLOW = ("/revocations/stream",)
_KNOWN_SECONDS = 0.5
"""By then every worker knows what was revoked."""

_OUT = ("/auth/logout", "/auth/logout-all")
_BODIES: dict[str, Any] = {
    "PUT /admin/users/{user_id}/role": {"role": "member"},
    "PUT /admin/organizations/{tenant_id}": {"name": "Renamed"},
    "POST /admin/audit-events/exports": {"tenant_id": "{tenant_id}"},
    "POST /admin/clients/{client_id}/rotate-secret": {"overlap_seconds": 0},
    "PATCH /admin/clients/{client_id}": {"name": "Renamed"},
    "POST /api-keys/{key_id}/rotate": {"overlap_seconds": 0},
    "POST /auth/organization": {"organization": "{organization}"},
    "POST /revocations": {"kind": "sid", "value": "{session_id}"},
    "PUT /admin/secrets/{name}": {"value": "theirs"},
}
"""Bodies that are good but for whose ids they name; others take none, or are asked in vain."""


async def climb_walls(site: Site, report: Report, dice: random.Random, rounds: int) -> None:
    """Try every route with every id of another organization, in path, query and body."""
    document = msgspec.json.decode((ROOT / "openapi" / "tesserra-auth.json").read_bytes())
    doors = [
        (method.upper(), path, _queries(operation))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path not in _SLOW + _OUT
    ]
    for number in range(rounds):
        report.progress(f"{number} of {rounds}")
        client = site.client(report)
        victim = await site.newcomer(role="owner")
        foreign = await _world(report, client, victim, f"canary-{dice.getrandbits(64):x}")
        before = await _state(site, victim)
        spy = await site.newcomer(role="owner")
        for method, path, queries in doors:
            await _try(report, client, spy, (method, path, queries), foreign)
        report.expect("I8", before == await _state(site, victim), "a stranger changed something")
        answer = await client.ask("GET", "/auth/me", bearer=victim.access_token)
        report.expect("I8", answer.ok, f"a stranger ended a session: {answer.status}")
        await _act_on_a_member_of_two(site, report, client)
        if number == 1:  # minutes, so not in a quick run
            await tell_apart(site, report, client, foreign, dice)
        client.close()
        report.rounds += 1


async def _renew(report: Report, client: Client, device: Device) -> None:
    """I7: what is given out right after a change of role is good."""
    renewed = await client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={})
    if report.expect("I7", renewed.ok, f"no token after a change of role: {renewed.status}"):
        device.keep(renewed)
        await asyncio.sleep(_KNOWN_SECONDS)
        answer = await client.ask("GET", "/auth/me", bearer=device.access_token)
        report.expect("I7", answer.ok, f"a token that was given out: {answer.status}")


async def _act_on_a_member_of_two(site: Site, report: Report, client: Client) -> None:
    """Do all that an owner may do to a member; where that one is a member too, nothing changes."""
    owner = await site.newcomer(role="owner")
    account, there = await site.person(owner.organization), await site.organization()
    await site.join(account, there, "member")
    elsewhere = await site.device(account, there)
    before = await _state(site, elsewhere)
    path = f"/admin/users/{account.user_id}"
    acts: tuple[tuple[str, str, Any], ...] = (
        ("PUT", f"{path}/role", {"role": "admin"}),
        ("PUT", f"{path}/role", {"role": "admin"}),
        ("POST", f"{path}/end-sessions", {}),
        ("POST", f"{path}/disable", {}),
        ("POST", f"{path}/enable", {}),
        ("DELETE", path, None),
    )
    here = await site.device(account, owner.organization)
    body = {"name": "theirs", "scopes": ["agentes"]}
    made = await client.ask("POST", "/api-keys", bearer=here.access_token, json=body)
    report.expect("harness", made.ok, f"no key: {made.status}")
    for method, url, told in acts:
        answer = await client.ask(method, url, bearer=owner.access_token, json=told)
        report.expect("harness", answer.ok, f"{method} {url}: {answer.status}")
        report.faults["acts on a member of two"] += 1
        if told == {"role": "admin"}:
            await _renew(report, client, here)
    await asyncio.sleep(_KNOWN_SECONDS)
    report.expect("I8", before == await _state(site, elsewhere), "an act reached another one")
    answer = await client.ask("GET", "/auth/me", bearer=elsewhere.access_token)
    report.expect("I8", answer.ok, f"an act ended a token of another one: {answer.status}")


def _queries(operation: Any) -> list[str]:
    """Return the parameters a route knows; with any other it is refused for that."""
    return [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]


async def _world(report: Report, client: Client, device: Device, canary: str) -> dict[str, str]:
    """Make one of everything; return ids by the name of the parameter they go in."""
    token = device.access_token
    key = await client.ask(
        "POST", "/api-keys", bearer=token, json={"name": canary, "scopes": ["agentes"]}
    )
    secret = await client.ask(
        "PUT", f"/admin/secrets/{canary}", bearer=token, json={"value": f"value {canary}"}
    )
    client_made = await client.ask(
        "POST", "/admin/clients", bearer=token, json={"name": canary, "scopes": ["agentes"]}
    )
    invited = await client.ask(
        "POST", "/admin/users", bearer=token, json={"email": f"{canary}@faults.example"}
    )
    made = (key, secret, client_made, invited)
    statuses = [answer.status for answer in made]
    report.expect("harness", all(answer.ok for answer in made), f"no world: {statuses}")
    return {
        "session_id": device.session_id,
        "user_id": str(device.account.user_id),
        "tenant_id": str(device.organization.tenant_id),
        "organization": device.organization.slug,
        "key_id": key.json()["id"],
        "client_id": client_made.json()["client_id"],
        "invitation_id": invited.json()["id"],
        "name": canary,
        "version": "1",
        "kid": "none",
        "jti": "none",
        "email": device.account.email,
    }


async def _try(
    report: Report,
    client: Client,
    spy: Device,
    door: tuple[str, str, list[str]],
    foreign: dict[str, str],
) -> None:
    method, path, queries = door
    there = _filled(path, foreign)
    body = _BODIES.get(f"{method} {path}", {})
    body = msgspec.json.decode(_filled(msgspec.json.encode(body).decode(), foreign))
    asked = [f"{name}={foreign[name]}" for name in queries if name in foreign]
    for url in dict.fromkeys((there, *(f"{there}?{q}" for q in (*asked, "&".join(asked)) if q))):
        given = None if method == "GET" else body
        answer = await client.ask(method, url, bearer=spy.access_token, json=given)
        report.faults["doors tried"] += 1
        text = answer.body.decode(errors="replace")
        for name, value in foreign.items():
            if name in ("version", "kid", "jti"):
                continue
            shown = value in text and not (name == "name" and method == "PUT")
            report.expect("I8", not shown, f"{method} {url}: shows the {name} of another")


def _filled(text: str, foreign: dict[str, str]) -> str:
    for name, value in foreign.items():
        text = text.replace(f"{{{name}}}", value)
    return text


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
            "SELECT client_id, disabled_at, secret_mac FROM auth_clients WHERE tenant_id = $1",
            "SELECT invitation_id, used_at FROM auth_invitations WHERE tenant_id = $1",
            (
                "SELECT version, sealed FROM auth_secret_versions"
                " JOIN auth_secrets USING (secret_id) WHERE tenant_id = $1"
            ),
        )
        for row in await site.fetch(statement, tenant_id)
    ]
