"""What is sealed is found nowhere else: planted in every sealed place, looked for everywhere."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import httpx2
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tesserra_verifier import open_secret

from service import settings as deployment
from service.domain import keyring
from service.embedded.checkout import ROOT
from service.embedded.servers import Postgres
from service.kernel.seal import Seal
from tests import given
from tests.processes import Running, service
from tests.servers import private_postgres
from tests.system.visitors import UNLIMITED, Visitor, inside

MASTER = Fernet.generate_key().decode()
SMTP = f"smtp-{uuid4().hex}"
OPENAPI = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())


@dataclass
class Planted:
    """A running service that was given secrets, and every text that came back from it."""

    running: Running
    admin: Visitor
    postgres: Postgres
    canaries: dict[str, bytes] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)

    async def ask(
        self, method: str, path: str, token: str | None = None, **given: Any
    ) -> httpx2.Response:
        headers = given.pop("headers", {})
        headers["authorization"] = f"Bearer {token or self.admin.access_token}"
        answer = await self.admin.client.request(method, path, headers=headers, **given)
        self.heard.append(f"{answer.headers}\n{answer.text}")
        return answer

    async def cli(self, *arguments: str) -> str:
        done = await asyncio.to_thread(self.running.cli, *arguments)
        self.heard.append(done.stdout + done.stderr)
        return done.stdout


@pytest.fixture
async def planted() -> AsyncIterator[Planted]:
    smtp = f"smtp://auth:{SMTP}@127.0.0.1:1"
    env = {"AUTH_MASTER_KEYS": MASTER, "AUTH_SMTP_URL": smtp}
    with private_postgres() as postgres:
        async with service(policy=UNLIMITED, env=env, database_url=postgres.url) as running:
            async with inside(running) as rt:
                person = await given.a_person(rt, "root@acme.example", platform_admin=True)
            admin = Visitor(running.url, person)
            await admin.sign_in()
            yield Planted(running, admin, postgres)
            await admin.client.aclose()


def forms(canary: bytes) -> list[str]:
    """Return how a value could be written down."""
    texts = [
        canary.hex(),
        base64.b64encode(canary).decode(),
        base64.urlsafe_b64encode(canary).decode(),
    ]
    if canary.isascii():
        texts.append(canary.decode())
    return [text.rstrip("=") for text in texts]


async def test_what_is_sealed_is_found_nowhere_else(planted: Planted) -> None:
    await _plant(planted)
    await _provoke(planted)
    await _walk(planted)
    await planted.cli("key", "rotate")
    await planted.cli("secret", "rotate-master")
    await planted.cli("secret", "rotate-master", "--check")
    await planted.cli("secret", "recipient", "list", "--json")

    settings = deployment.load(planted.running.environment)
    places = {
        "answers and commands": "\n".join(planted.heard),
        "log": planted.running.output(),
        "tables, events among them": await _tables(planted.running),
        "a backup": await asyncio.to_thread(_backup, planted.postgres),
        "ps": _command_lines(planted.running),
        "openapi": json.dumps(OPENAPI),
        "repr of the settings": repr(settings) + repr(Seal(settings.master_keys)),
    }
    for place, text in places.items():
        assert len(text) > 50, place
        for name, canary in planted.canaries.items():
            found = [form for form in forms(canary) if form in text]
            assert not found, f"{name} is found in: {place}"
    for path in planted.postgres.cluster.rglob("*"):  # tables and log of changes, as on the disk
        if path.is_file():
            held = path.read_bytes()
            there = [name for name, canary in planted.canaries.items() if canary in held]
            assert not there, f"{there} are found in: {path.name}"


async def _plant(planted: Planted) -> None:
    canaries = planted.canaries
    canaries["the master key"] = base64.urlsafe_b64decode(MASTER)
    canaries["the password of the mail server"] = SMTP.encode()
    made = await asyncio.to_thread(
        planted.running.cli, "secret", "recipient", "create", "billing", "--json"
    )
    told = json.loads(made.stdout)
    canaries["a recipient's key"] = base64.urlsafe_b64decode(told["key"])
    canaries["a client's secret"] = told["client_secret"].encode()
    canaries["a secret of the platform"] = f"sk_live_{uuid4().hex}".encode()
    canaries["bytes"] = uuid4().bytes * 3
    canaries["a secret of an organization"] = f"whsec_{uuid4().hex}".encode()
    organization = planted.admin.person.tenant_id
    for name, query, body in (
        ("stripe", "", {"value": canaries["a secret of the platform"].decode()}),
        ("raw", "", {"value_base64": base64.b64encode(canaries["bytes"]).decode()}),
        (
            "hook",
            f"?tenant_id={organization}",
            {"value": canaries["a secret of an organization"].decode()},
        ),
    ):
        form = {**body, "recipients": ["billing"]}
        answer = await planted.ask("PUT", f"/admin/secrets/{name}{query}", json=form)
        assert answer.status_code == httpx2.codes.OK, answer.text
    client = (told["client_id"], told["client_secret"])
    grant = {"grant_type": "client_credentials"}
    issued = await planted.admin.client.post("/oauth/token", data=grant, auth=client)
    token = issued.json()["access_token"]
    sealed = await planted.ask("GET", "/admin/secrets/stripe/sealed", token)
    opened = open_secret(told["key"], sealed.json()["ciphertext"], "stripe")
    assert opened == canaries["a secret of the platform"]

    async with inside(planted.running) as rt, rt.pg.reading() as tx:
        canaries["the root secret"] = await keyring.open_root(tx, rt.seal)
        for kid, ciphertext in await keyring.list_sealed_keys(tx, "", 10):
            pem = rt.seal.open(keyring.PURPOSE_KEY, kid, ciphertext)
            private: Any = load_pem_private_key(pem, None)
            scalar = private.private_numbers().private_value
            canaries[f"signing key {kid}"] = scalar.to_bytes(32)
            canaries[f"signing key {kid}, as PEM"] = pem.splitlines()[1]


async def _provoke(planted: Planted) -> None:
    """Send secrets where they are refused: the answer, the log and the events repeat none."""
    value = f"refused-{uuid4().hex}"
    planted.canaries["a refused value"] = value.encode()
    huge = value * 1000
    for path, body in (
        ("/admin/secrets/UPPER", {"value": value}),
        ("/admin/secrets/huge", {"value": huge}),
        ("/admin/secrets/db", {"value": value, value: 1}),
        ("/admin/secrets/db", {"value": [value]}),
        ("/admin/secrets/db", {"value_base64": value + "!"}),
        ("/admin/secrets/db", {"value": value, "recipients": [value]}),
        ("/admin/secrets/db?tenant_id=none", {"value": value}),
    ):
        answer = await planted.ask("PUT", path, json=body)
        assert 400 <= answer.status_code < 500, answer.text
    raw = f'{{"value": "{value}", "value": "{value}"}}'.encode()
    twice = await planted.ask(
        "PUT", "/admin/secrets/db", content=raw, headers={"content-type": "application/json"}
    )
    assert twice.status_code == httpx2.codes.BAD_REQUEST


async def _walk(planted: Planted) -> None:
    """GET every route there is, with names and ids that exist where there are some."""
    known = {"name": "stripe", "user_id": str(planted.admin.person.user_id)}
    unknown = str(planted.admin.person.tenant_id)
    for path, operations in OPENAPI["paths"].items():
        if "get" not in operations or path == "/revocations/stream":
            continue
        filled = re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], unknown), path)
        query = f"?user_id={known['user_id']}" if path == "/admin/sessions" else ""
        answer = await planted.ask("GET", filled + query)
        assert answer.status_code < 500, f"{filled}: {answer.text}"


def _backup(postgres: Postgres) -> str:
    """Return a whole dump, as text."""
    parts = urlsplit(postgres.url)
    where = ("-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username))
    done = subprocess.run(
        [postgres.program.with_name("pg_dump"), *where, parts.path.removeprefix("/")],
        env={"PGPASSWORD": unquote(parts.password or "")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "COPY public.auth_signing_keys" in done.stdout
    return done.stdout


async def _tables(running: Running) -> str:
    """Return what a backup of the tables would hold; binary columns as hexadecimal digits."""
    async with inside(running) as rt, rt.pg.reading() as tx:
        names = await tx.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = 'r'"
        )
        rows: list[str] = []
        for name in names:
            found = await tx.fetch(f'SELECT t::text AS row FROM "{name["relname"]}" t')
            rows += [row["row"] for row in found]
    assert any("secret.put" in row for row in rows)
    return "\n".join(rows)


def _command_lines(running: Running) -> str:
    pids = [running.pid, *running.workers()]
    return "\n".join(Path(f"/proc/{pid}/cmdline").read_text() * 3 for pid in pids)
