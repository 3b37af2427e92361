"""I9: planted secrets are in no table, no log line and no process argument."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from redis.asyncio import Redis

from faults.report import Report
from faults.site import Site
from service.kernel.sql import Tx

_STORED = "canary of what is stored"
_WRONG = "canary of a wrong password"


async def plant(site: Site, report: Report) -> dict[str, str]:
    """Have every kind of secret used, well and badly; return them by what they are."""
    device = await site.newcomer(role="owner")
    client, machine = site.client(report), await site.machine()
    first = device.refresh_token
    device.keep(await client.ask("POST", "/auth/refresh", cookie=first, json={}))
    bearer = device.access_token
    key = await client.ask(
        "POST", "/api-keys", bearer=bearer, json={"name": "planted", "scopes": ["agentes"]}
    )
    stored = await client.ask(
        "PUT", "/admin/secrets/planted", bearer=bearer, json={"value": _STORED}
    )
    basic = (machine.client_id, machine.secret)
    issued = await client.ask(
        "POST", "/oauth/token", basic=basic, form={"grant_type": "client_credentials"}
    )
    good = key.ok and stored.ok and issued.ok
    report.expect("harness", good, f"not planted: {key.status} {stored.status} {issued.status}")
    secret = str(key.json()["secret"]) if key.ok else _STORED
    form = {"email": device.account.email, "password": _WRONG}
    await client.ask("POST", "/auth/login", json=form)
    await client.ask("GET", "/auth/me", bearer=secret)
    await client.ask("GET", "/auth/me", bearer=device.refresh_token)
    await client.ask("GET", f"/auth/me?token={secret}", bearer=bearer)
    await client.ask("POST", "/auth/refresh", cookie=bearer, json={})
    await client.ask("POST", "/oauth/revoke", basic=basic, form={"token": secret})
    device.keep(await client.ask("POST", "/auth/refresh", cookie=device.refresh_token, json={}))
    await site.no_grace(device)
    await client.ask("POST", "/auth/refresh", cookie=first, json={})  # burns the family
    client.close()
    return {
        "refresh token": first,
        "newer refresh token": device.refresh_token,
        "access token": bearer,
        "API key": secret,
        "client's secret": machine.secret,
        "secret of the vault": _STORED,
        "wrong password": _WRONG,
    }


async def cached(client: Redis) -> str:
    """Return what is in Valkey: the names of all there is, and what strings hold."""
    names = [name async for name in client.scan_iter(count=1000)]
    strings = [name async for name in client.scan_iter(count=1000, _type="string")]
    held = await client.mget(strings) if strings else []
    return "\n".join(part.decode(errors="replace") for part in (*names, *held) if part)


async def search_canaries(
    tx: Tx,
    report: Report,
    canaries: Mapping[str, str],
    texts: Mapping[str, str],
    pids: Iterable[int],
) -> None:
    """Look everywhere; `canaries` are secrets by what they are, `texts` what there is, by place."""
    places = {**texts, **_arguments(pids), **await _tables(tx)}
    for place, text in places.items():
        for what, secret in canaries.items():
            found = secret in text or secret.encode().hex() in text
            report.expect("I9", not found, f"a {what} is in {place}")


async def _tables(tx: Tx) -> dict[str, str]:
    names = await tx.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = current_schema()::regnamespace"
    )
    texts = {}
    for name in (row["relname"] for row in names):
        rows = await tx.fetch(f'SELECT t::text FROM "{name}" t LIMIT 50000')  # noqa: S608 - a name of ours
        texts[f"table {name}"] = "\n".join(row[0] for row in rows)
    return texts


def _arguments(pids: Iterable[int]) -> dict[str, str]:
    found = {}
    for pid in pids:
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        found[f"the arguments of process {pid}"] = raw.replace(b"\0", b" ").decode(errors="replace")
    return found
