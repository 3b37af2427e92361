"""What a real process writes down: one JSON object a line, and none of the run's secrets."""

from urllib.parse import urlsplit

import httpx2

from service.flows.clients.create import create_client
from service.flows.shared.new_client import NewClient
from service.kernel.call import Call, Operator
from service.runtime import Runtime
from tests import given
from tests.given import PASSWORD
from tests.processes import MASTER_KEY, service
from tests.system.visitors import UNLIMITED, Visitor, connection, inside, log_lines, visitors

WRONG = "canary-of-a-wrong-password"
STRAY = "canary-of-a-stray-header"


async def test_every_line_is_one_object_in_order_and_no_secret_is_in_it() -> None:
    policy = UNLIMITED + "[tokens]\nrefresh_grace = 0\n"
    async with service(workers=2, policy=policy, env={"AUTH_LOG_LEVEL": "debug"}) as running:
        secrets = {PASSWORD, WRONG, STRAY, MASTER_KEY}
        secrets.add(urlsplit(running.database_url).password or WRONG)
        async with visitors(running, 2) as (device, other), connection(running.url) as client:
            for visitor in (device, other):
                secrets |= {visitor.access_token, visitor.refresh_token}
            stolen = device.refresh_token
            for _ in range(2):
                assert (await device.refresh()).status_code == httpx2.codes.OK
                secrets |= {device.access_token, device.refresh_token}
            assert (await device.me()).status_code == httpx2.codes.OK
            assert (await device.refresh(stolen)).status_code == httpx2.codes.UNAUTHORIZED
            assert (await device.sign_in(WRONG)).status_code == httpx2.codes.UNAUTHORIZED
            assert (await other.sign_out()).status_code == httpx2.codes.NO_CONTENT
            odd = [
                client.get(f"/{STRAY}"),
                client.get(f"/auth/me?token={STRAY}"),
                client.get("/auth/me", headers={"authorization": f"Bearer {STRAY}"}),
                client.get("/healthz", headers={"x-request-id": f"{STRAY} with a space"}),
                client.get("/healthz", headers={"user-agent": STRAY, "referer": STRAY}),
                client.post("/auth/login", content=f'{{"email": "{STRAY}'.encode()),
                client.post("/auth/login", json={"email": STRAY, "password": WRONG}),
                client.post("/auth/login", json={"email": STRAY, STRAY: WRONG}),
                client.post(
                    "/auth/refresh", json={}, headers={"cookie": f"__Host-refresh={STRAY}"}
                ),
                client.post("/auth/refresh", json={}, headers={"origin": f"https://{STRAY}"}),
                client.request(STRAY.upper(), "/auth/me"),
            ]
            for request in odd:
                assert (await request).status_code < httpx2.codes.INTERNAL_SERVER_ERROR
        await running.stop()
        lines = log_lines(running)
        assert len(lines) > 15
        for line in lines:
            assert {"timestamp", "level", "event"} <= set(line)
            if line["event"] == "request":
                assert {"request_id", "http.route", "http.response.status_code"} <= set(line)
        output = running.output()
        for secret in secrets:
            assert secret not in output
            assert secret.upper() not in output
        parts = {part for secret in secrets if secret.count(".") == 2 for part in secret.split(".")}
        signatures = {part for part in parts if len(part) > 40}
        assert signatures
        assert not [part for part in signatures if part in output]


async def test_the_lines_of_an_organization_are_told_apart_by_its_id() -> None:
    """Sign-in, renewal, every request with a token, and the tokens of its services."""
    async with service(policy=UNLIMITED) as running:
        async with inside(running) as rt:
            people = [
                await given.a_person(rt, f"ada@{slug}.example", slug=slug, role="owner")
                for slug in ("acme", "globex")
            ]
            services = [await make_service(rt, person.slug) for person in people]
        for person, (client_id, secret) in zip(people, services, strict=True):
            visitor = Visitor(running.url, person)
            async with visitor.client as client:
                await visitor.sign_in()
                await visitor.refresh()
                await visitor.me()
                bearer = {"authorization": f"Bearer {visitor.access_token}"}
                await client.get("/admin/users", headers=bearer)
                await client.post(
                    "/oauth/token",
                    data={"grant_type": "client_credentials"},
                    auth=(client_id, secret),
                )
                await client.get("/healthz")
        await running.stop()
        lines = [line for line in log_lines(running) if line["event"] == "request"]
    expected = ["/auth/login", "/auth/refresh", "/auth/me", "/admin/users", "/oauth/token"]
    for person in people:
        own = [line for line in lines if line.get("tenant_id") == str(person.tenant_id)]
        assert [line["http.route"] for line in own] == expected
        assert {line["http.response.status_code"] for line in own} == {httpx2.codes.OK}
    of_nobody = {line["http.route"] for line in lines if "tenant_id" not in line}
    assert of_nobody <= {"/healthz", "/readyz"}


async def make_service(rt: Runtime, organization: str) -> tuple[str, str]:
    call = Call(request_id="a-service", at=rt.clock.now(), actor=Operator())
    made = await create_client(rt, call, NewClient(name="s", scopes=("agentes",)), organization)
    return made.client.client_id, made.secret or ""
