"""Every way to name an object of an organization, read from openapi/: by path, query and body.

And an organization with one of everything.  A parameter that is not known here fails, so that
nobody adds a door without a wall.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2

from service.embedded.checkout import ROOT
from service.runtime import Runtime
from tests import given
from tests.http.admin.test_logos import png

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"

NOT_AN_OBJECT: dict[str, str] = {
    "GET /revocations/{jti}": "for services alone; people are refused before anything is looked up",
    "DELETE /admin/signing-keys/{kid}": "the platform's",
    "PUT /admin/secrets/{name}": "makes a secret under a name of one's own",
}
"""Routes whose path names nothing that belongs to an organization."""

BODIES: dict[str, dict[str, Any]] = {
    "PUT /admin/users/{user_id}/role": {"role": "auditor"},
    "POST /admin/users": {"email": "another@acme.example"},
    "PUT /admin/organizations/{tenant_id}": {"name": "Renamed"},
    "POST /admin/clients": {"name": "s", "scopes": ["agentes"]},
    "POST /api-keys/{key_id}/rotate": {"overlap_seconds": 0},
    "POST /admin/clients/{client_id}/rotate-secret": {"overlap_seconds": 0},
    "PATCH /admin/clients/{client_id}": {"name": "Renamed"},
    "PUT /admin/secrets/{name}": {"value": "another value"},
}
"""Bodies that would be good, were the object one's own."""

NAMED_IN_THE_BODY: tuple[tuple[str, dict[str, str]], ...] = (
    ("/admin/audit-events/exports", {"tenant_id": "tenant_id"}),
    ("/auth/organization", {"organization": "slug"}),
    ("/revocations", {"kind": "=sid", "value": "session_id"}),
    ("/revocations", {"kind": "=akid", "value": "key_id"}),
    ("/revocations", {"kind": "=client_id", "value": "client_id"}),
    ("/revocations", {"kind": "=tenant_id", "value": "tenant_id"}),
    ("/revocations", {"kind": "=sub", "value": "user_id"}),
    ("/revocations", {"kind": "=sub", "value": "user_id", "tenant_id": "tenant_id"}),
)
"""POSTs whose body names an object: members and which object; `=` before what is said as it is."""


@dataclass(frozen=True)
class Door:
    """A route, and which of its parameters name an object."""

    method: str
    path: str
    query: tuple[str, ...] = ()
    body: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How the lists above call it."""
        return f"{self.method} {self.path}"

    def __str__(self) -> str:
        return f"{self.name} {' '.join((*self.query, *self.body.values()))}".strip()

    async def ask(
        self, client: httpx2.AsyncClient, objects: dict[str, str], **more: Any
    ) -> httpx2.Response:
        """Ask about these objects."""
        named = self.path.split("{")[1:]
        parts = {part.partition("}")[0]: self._kind(part.partition("}")[0]) for part in named}
        url = self.path.format(**{part: objects[kind] for part, kind in parts.items()})
        content: dict[str, Any] = {"json": BODIES.get(self.name)}
        if self.body:
            told = {k: v[1:] if v[0] == "=" else objects[v] for k, v in self.body.items()}
            content = {"json": told}
        elif self.path.endswith("/logo") and self.method == "PUT":
            more["headers"] = {**more.get("headers", {}), "content-type": "image/png"}
            content = {"content": png()}
        query = {part: objects[self._kind(part)] for part in self.query}
        return await client.request(self.method, url, params=query, **content, **more)

    def _kind(self, parameter: str) -> str:
        if parameter == "name":
            return "export" if "/exports/" in self.path else "secret"
        return parameter


def doors() -> Iterator[Door]:
    """Return each route that names an object, once for each of its ways to do so."""
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            query = [
                one["name"]
                for one in operation.get("parameters", ())
                if one["in"] == "query" and one["name"] in _IDS
            ]
            plain = Door(method.upper(), path)
            if "{" in path and plain.name not in NOT_AN_OBJECT:
                yield plain
            yield from (Door(method.upper(), path, (name,)) for name in query)
    yield from (Door("POST", path, body=body) for path, body in NAMED_IN_THE_BODY)


_IDS = frozenset({"tenant_id", "user_id", "session_id"})


@functools.cache
def document() -> dict[str, Any]:
    """Return what the service says of itself."""
    found: dict[str, Any] = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())
    return found


async def signed_in(rt: Runtime, client: httpx2.AsyncClient, **who: Any) -> dict[str, Any]:
    """Make a person, signed in on `client`; return what they were told."""
    person = await given.a_person(rt, **who)
    answer = await client.post(
        "/auth/login", json={"email": person.email, "password": person.password}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    client.headers["authorization"] = f"Bearer {told['access_token']}"
    return told


async def an_organization(
    rt: Runtime, owner: httpx2.AsyncClient, member: httpx2.AsyncClient, slug: str = "acme"
) -> dict[str, str]:
    """Make one with one of everything; return each object by the parameter that names it."""
    told = await signed_in(rt, owner, email=f"ada@{slug}.example", slug=slug, role="owner")
    who = await signed_in(rt, member, email=f"bob@{slug}.example", slug=slug, role="admin")
    there = told["organization"]["id"]
    key = {"name": "k", "scopes": ["agentes"], "owner": "organization"}
    made = {
        "key_id": await owner.post("/api-keys", json=key),
        "secret": await owner.put("/admin/secrets/payments", json={"value": "canary-value"}),
        "again": await owner.put("/admin/secrets/payments", json={"value": "canary-second"}),
        "client_id": await owner.post("/admin/clients", json={"name": "s", "scopes": ["agentes"]}),
        "invitation_id": await owner.post("/admin/users", json={"email": f"new@{slug}.example"}),
        "export": await owner.post("/admin/audit-events/exports", json={}),
        "logo": await owner.put(
            f"/admin/organizations/{there}/logo",
            content=png(),
            headers={"content-type": "image/png"},
        ),
    }
    for what, answer in made.items():
        assert answer.status_code < 300, (what, answer.text)
    return {
        "tenant_id": there,
        "slug": slug,
        "user_id": who["user"]["id"],
        "session_id": who["session_id"],
        "key_id": made["key_id"].json()["id"],
        "client_id": made["client_id"].json()["client_id"],
        "invitation_id": made["invitation_id"].json()["id"],
        "secret": "payments",
        "version": "1",
        "export": json.loads(made["export"].text.splitlines()[0])["name"],
    }


def nothing() -> dict[str, str]:
    """Return objects that are not there, each named as one that is would be."""
    return {
        **dict.fromkeys(("tenant_id", "user_id", "session_id", "key_id", "invitation_id"), UNKNOWN),
        "slug": "nowhere",
        "client_id": "svc_0123456789abcdef0123",
        "secret": "nothing",
        "version": "1",
        "export": "audit-20200101t000000z-00000000.ndjson.gz",
    }


async def everything(rt: Runtime, *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Return every row of every table as text, for comparing; without what time alone changes."""
    async with rt.pg.autocommit() as tx:
        tables = await tx.fetch(
            "SELECT c.relname AS name FROM pg_class c"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition"
        )
        found = {}
        for name in {row["name"] for row in tables} - {*but}:
            rows = await tx.fetch(f'SELECT to_json(t)::text AS told FROM "{name}" t')
            found[name] = "\n".join(sorted(row["told"] for row in rows))
    return found


def fresh_slug() -> str:
    """Return a slug nobody has."""
    return f"o{uuid4().hex[:12]}"
