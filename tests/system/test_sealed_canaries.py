"""What is sealed is found nowhere else: planted in every sealed place, looked for everywhere."""

import asyncio
import base64
import binascii
import contextlib
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
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Names, and the query that tells whose it is."""
    recipient_token: str = ""
    kid: str = ""

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


def forms(canary: bytes) -> list[bytes]:
    """Return how a value could be written down."""
    encoded = [base64.b64encode(canary).rstrip(b"="), base64.urlsafe_b64encode(canary).rstrip(b"=")]
    return [canary, canary.hex().encode(), *encoded, *(one.hex().encode() for one in encoded)]


def unfolded(held: bytes, depth: int = 3) -> bytes:
    """Return it with what its runs of letters hold if they are hexadecimal or base64, and so on."""
    if not depth:
        return held
    inner = [bytes.fromhex(run.decode()) for run in _HEXADECIMAL.findall(held)]
    for run in _BASE64.findall(held):
        with contextlib.suppress(binascii.Error):  # one letter too many
            inner.append(base64.b64decode(run.translate(_STANDARD) + b"=" * (-len(run) % 4)))
    return b"\n".join([held, *(unfolded(one, depth - 1) for one in inner)])


_HEXADECIMAL = re.compile(rb"(?:[0-9a-f]{2}){16,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}")
_STANDARD = bytes.maketrans(b"-_", b"+/")


def test_the_search_finds_what_is_wrapped_up() -> None:
    canary = uuid4().bytes + b"canary"
    envelope = json.dumps({"name": "x", "value": base64.b64encode(canary).decode()}).encode()
    for wrapped in (envelope, base64.urlsafe_b64encode(envelope), envelope.hex().encode()):
        row = rb"1\t\\x" + wrapped.hex().encode() + b"\t\\N\n"
        assert canary in unfolded(b"COPY\n" + row), wrapped


async def test_what_is_sealed_is_found_nowhere_else(planted: Planted) -> None:
    await _plant(planted)
    await _provoke(planted)
    await planted.cli("key", "rotate")
    await planted.cli("secret", "rotate-master")
    await planted.cli("secret", "rotate-master", "--check")
    await planted.cli("secret", "recipient", "list", "--json")

    sealed = await _ciphertexts(planted.running)
    backups = {}
    for form in ("plain", "custom"):
        held = backups[f"a backup, {form}"] = await asyncio.to_thread(
            _backup, planted.postgres, form
        )
        for one in (*sealed, b"secret.put"):  # it is what it is taken for, and can be searched
            assert one in held or one.hex().encode() in held, form
    await _walk(planted)
    settings = deployment.load(planted.running.environment)
    places = {
        **backups,
        "answers and commands": "\n".join(planted.heard).encode(),
        "log": planted.running.output().encode(),
        "ps": _command_lines(planted.running),
        "openapi": json.dumps(OPENAPI).encode(),
        "repr of the settings": (repr(settings) + repr(Seal(settings.master_keys))).encode(),
    }
    for place, held in places.items():
        assert len(held) > 50, place
        searched = unfolded(held)
        for name, canary in planted.canaries.items():
            found = [form for form in forms(canary) if form in searched]
            assert not found, f"{name} is found in: {place}"
    for path in planted.postgres.cluster.rglob("*"):  # tables and log of changes, as on the disk
        if path.is_file():
            held = path.read_bytes()
            there = [
                name
                for name, canary in planted.canaries.items()
                if any(form in held for form in forms(canary))
            ]
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
    planted.secrets = {"stripe": {}, "raw": {}, "hook": {"tenant_id": str(organization)}}
    for name, body in (
        ("stripe", {"value": canaries["a secret of the platform"].decode()}),
        ("raw", {"value_base64": base64.b64encode(canaries["bytes"]).decode()}),
        ("hook", {"value": canaries["a secret of an organization"].decode()}),
    ):
        form = {**body, "recipients": ["billing"]}
        params = planted.secrets[name]
        answer = await planted.ask("PUT", f"/admin/secrets/{name}", params=params, json=form)
        assert answer.status_code == httpx2.codes.OK, answer.text
    client = (told["client_id"], told["client_secret"])
    grant = {"grant_type": "client_credentials"}
    issued = await planted.admin.client.post("/oauth/token", data=grant, auth=client)
    planted.recipient_token = issued.json()["access_token"]
    sealed = await planted.ask("GET", "/admin/secrets/stripe/sealed", planted.recipient_token)
    opened = open_secret(told["key"], sealed.json()["ciphertext"], "stripe")
    assert opened == canaries["a secret of the platform"]

    async with inside(planted.running) as rt, rt.pg.autocommit() as tx:
        canaries["the root secret"] = await keyring.open_root(tx, rt.seal)
        for kid, ciphertext in await keyring.list_sealed_keys(tx, "", 10):
            pem = rt.seal.open(keyring.PURPOSE_KEY, kid, ciphertext)
            private: Any = load_pem_private_key(pem, None)
            scalar = private.private_numbers().private_value
            canaries[f"signing key {kid}"] = scalar.to_bytes(32)
            canaries[f"signing key {kid}, as PEM"] = pem.splitlines()[1]
            planted.kid = kid


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
    """Ask of every route there is, as whoever may do most; at last by what changes things."""
    order = ["get", "post", "put", "patch", "delete"]
    operations = [
        (order.index(method), method.upper(), path)
        for path, there in OPENAPI["paths"].items()
        for method in there
        if method in order and path != "/revocations/stream"
    ]
    assert len(operations) > 60
    person = planted.admin.person
    for place, method, path in sorted(operations):
        known = {"version": "1", "kid": planted.kid, "user_id": str(person.user_id)}
        unknown = str(person.tenant_id)
        if method != "GET":  # some of these end the session, or the key its token is signed with
            await planted.admin.sign_in()
            del known["user_id"]
            unknown = str(uuid4())
        ids = dict.fromkeys(re.findall(r"\{(\w+)\}", path), unknown) | known
        body = b"{}" if "requestBody" in OPENAPI["paths"][path][order[place]] else None
        for name, query in planted.secrets.items() if "{name}" in path else [("", {})]:
            params = {"user_id": str(person.user_id)} if path == "/admin/sessions" else query
            for token in (None, planted.recipient_token):
                answer = await planted.ask(
                    method,
                    path.format(**ids | {"name": name}),
                    token,
                    params=params,
                    content=body,
                    headers={"content-type": "application/json"} if body else {},
                )
                assert answer.status_code < 500, f"{method} {path}: {answer.text}"


def _backup(postgres: Postgres, form: str) -> bytes:
    """Return a whole dump, uncompressed."""
    parts = urlsplit(postgres.url)
    where = ("-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username))
    options = (f"--format={form}", "--compress=0", *where, parts.path.removeprefix("/"))
    done = subprocess.run(
        [postgres.program.with_name("pg_dump"), *options],
        env={"PGPASSWORD": unquote(parts.password or "")},
        capture_output=True,
        check=True,
    )
    return done.stdout


async def _ciphertexts(running: Running) -> list[bytes]:
    async with inside(running) as rt, rt.pg.reading() as tx:
        rows = await tx.fetch(
            "SELECT sealed FROM auth_root UNION ALL SELECT sealed FROM auth_signing_keys"
            " UNION ALL SELECT sealed FROM auth_secret_versions"
        )
    return [row["sealed"] for row in rows if row["sealed"]]


def _command_lines(running: Running) -> bytes:
    pids = [running.pid, *running.workers()]
    return b"\n".join(Path(f"/proc/{pid}/cmdline").read_bytes() * 3 for pid in pids)
