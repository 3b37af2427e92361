"""/admin/secrets: values go in and come out for their recipients alone."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from tesserra_verifier import InvalidSecretError, open_secret

from service.domain import vault
from service.flows.vault.recipients import NewRecipient, create_recipient
from service.kernel.call import Call, Operator
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime
from tests import given
from tests.http.admin.test_sessions import signed_in
from tests.smtp import smtp_sink

Browser = Callable[..., httpx2.AsyncClient]
ANOTHER = "SELECT sealed FROM auth_secret_versions JOIN auth_secrets USING (secret_id)"
VALUE = "a database password nobody knows"


@pytest.fixture
async def platform(rt: Runtime, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    await signed_in(rt, client, email="root@acme.example", platform_admin=True)
    async with rt.pg.autocommit() as tx:
        await tx.execute("TRUNCATE auth_secrets, auth_recipients CASCADE")
    return client


class Billing:
    """A service that is a recipient of secrets."""

    def __init__(self, made: NewRecipient, http: httpx2.AsyncClient) -> None:
        self.made = made
        self.http = http

    async def sealed(self, name: str, **query: Any) -> httpx2.Response:
        assert self.made.created is not None
        auth = (self.made.recipient.client_id, self.made.created.secret or "")
        form = {"grant_type": "client_credentials"}
        token = (await self.http.post("/oauth/token", data=form, auth=auth)).json()["access_token"]
        return await self.http.get(
            f"/admin/secrets/{name}/sealed",
            params=query,
            headers={"authorization": f"Bearer {token}"},
        )


@pytest.fixture
async def billing(
    rt: Runtime, platform: httpx2.AsyncClient, browser: Browser, call: Callable[..., Call]
) -> Billing:
    made = await create_recipient(rt, call(actor=Operator()), "billing", None)
    return Billing(made, browser())


async def test_a_value_goes_in_and_metadata_comes_out(
    rt: Runtime, platform: httpx2.AsyncClient
) -> None:
    put = await platform.put("/admin/secrets/db.password", json={"value": VALUE})
    assert put.status_code == 200, put.text
    told = put.json()
    assert (told["version"], told["kind"], told["last_four"]) == (1, "opaque", VALUE[-4:])
    assert (told["opened_at"], told["tenant_id"], told["warning"]) == (None, None, None)
    again = (await platform.put("/admin/secrets/db.password", json={"value": "other" * 9})).json()
    assert (again["version"], again["fingerprint"] != told["fingerprint"]) == (2, True)
    back = (await platform.put("/admin/secrets/db.password", json={"value": VALUE})).json()
    assert (back["version"], back["fingerprint"]) == (3, told["fingerprint"])
    listed = (await platform.get("/admin/secrets")).json()
    assert listed == {"items": [back], "next_cursor": None}
    assert (await platform.get("/admin/secrets/db.password")).json() == back
    versions = (await platform.get("/admin/secrets/db.password/versions")).json()["items"]
    assert [one["version"] for one in versions] == [3, 2, 1]
    assert VALUE not in put.text + str(listed) + str(versions)
    kinds = [e["detail"]["version"] for e in await given.events(rt, "secret.put")]
    assert kinds == [1, 2, 3]


async def test_an_old_version_stays_readable_until_it_is_dropped(
    rt: Runtime, platform: httpx2.AsyncClient, billing: Billing
) -> None:
    for n in (1, 2):
        body = {"value": f"{VALUE} {n}", "recipients": ["billing"]}
        assert (await platform.put("/admin/secrets/db", json=body)).status_code == 200
    old = (await billing.sealed("db", version="1")).json()
    assert open_secret(billing.made.key, old["ciphertext"], "db") == f"{VALUE} 1".encode()
    assert (await platform.delete("/admin/secrets/db/versions/2")).status_code == 409
    assert (await platform.delete("/admin/secrets/db/versions/1")).status_code == 204
    assert (await platform.delete("/admin/secrets/db/versions/1")).status_code == 404
    assert (await billing.sealed("db", version="1")).status_code == 404
    assert (await billing.sealed("db")).status_code == 200
    assert (await platform.delete("/admin/secrets/db")).status_code == 204
    assert (await platform.get("/admin/secrets/db")).status_code == 404
    assert (await platform.delete("/admin/secrets/db")).status_code == 404
    assert (await billing.sealed("db")).status_code == 404
    assert [e["detail"] for e in await given.events(rt, "secret.deleted")] == [
        {"name": "db", "version": 1},
        {"name": "db"},
    ]


async def test_a_version_is_handed_over_as_the_kind_it_is(
    platform: httpx2.AsyncClient, billing: Billing
) -> None:
    for value in ("sk_live_" + "a" * 24, "rk_live_" + "b" * 24):
        await platform.put("/admin/secrets/pay", json={"value": value, "recipients": ["billing"]})
    kinds = [(await billing.sealed("pay", version=n)).json()["kind"] for n in ("1", "2")]
    assert kinds == ["stripe_secret", "stripe_restricted"]


async def test_a_secret_that_is_deleted_while_another_value_comes_begins_anew(
    rt: Runtime, platform: httpx2.AsyncClient
) -> None:
    for _ in range(2):
        await platform.put("/admin/secrets/db", json={"value": VALUE})
    async with rt.pg.decision() as tx:
        held = await vault.lock(tx, None, "db")
        assert held is not None
        waiting = asyncio.create_task(platform.put("/admin/secrets/db", json={"value": VALUE}))
        await given.until_somebody_waits(rt)
        await vault.delete(tx, held.secret_id, None)
    told = await waiting
    assert (told.status_code, told.json().get("version")) == (200, 1), told.text


async def test_a_recipient_that_is_removed_while_a_secret_is_assigned_to_it_is_left_out(
    rt: Runtime, platform: httpx2.AsyncClient, billing: Billing
) -> None:
    async with rt.pg.decision() as tx:
        assert await vault.delete_recipient(tx, billing.made.recipient.name)
        body = {"value": VALUE, "recipients": ["billing"]}
        waiting = asyncio.create_task(platform.put("/admin/secrets/db", json=body))
        await given.until_somebody_waits(rt)
    told = await waiting
    assert (told.status_code, told.json().get("recipients")) == (200, []), told.text


async def test_only_the_recipient_it_is_assigned_to_gets_it_and_only_its_key_opens_it(
    rt: Runtime,
    platform: httpx2.AsyncClient,
    billing: Billing,
    browser: Browser,
    call: Callable[..., Call],
) -> None:
    other = Billing(await create_recipient(rt, call(actor=Operator()), "mail", None), browser())
    body = {"value": VALUE, "recipients": ["billing"]}
    assert (await platform.put("/admin/secrets/db", json=body)).json()["recipients"] == ["billing"]
    answer = await billing.sealed("db")
    assert answer.status_code == 200, answer.text
    ciphertext = answer.json()["ciphertext"]
    assert VALUE not in answer.text
    assert open_secret(billing.made.key, ciphertext, "db") == VALUE.encode()
    for key, name in ((other.made.key, "db"), (billing.made.key, "other")):
        with pytest.raises(InvalidSecretError):
            open_secret(key, ciphertext, name)
    assert (await other.sealed("db")).status_code == 404
    assert (await billing.sealed("nothing")).status_code == 404
    (event,) = await given.events(rt, "secret.opened")
    assert event["detail"] == {"name": "db", "version": 1, "recipient": "billing"}
    assert (event["actor_kind"], event["actor_id"]) == ("client", billing.made.recipient.client_id)
    assert (await platform.get("/admin/secrets/db")).json()["opened_by"] == "recipient:billing"
    await platform.put("/admin/secrets/db", json={"value": VALUE, "recipients": []})
    assert (await billing.sealed("db")).status_code == 404


async def test_people_and_clients_that_are_no_recipient_get_nothing_sealed(
    rt: Runtime, platform: httpx2.AsyncClient, billing: Billing
) -> None:
    await platform.put("/admin/secrets/db", json={"value": VALUE, "recipients": ["billing"]})
    assert (await platform.get("/admin/secrets/db/sealed")).status_code == 403
    async with rt.pg.autocommit() as tx:
        await tx.execute("DELETE FROM auth_recipients")
    assert (await billing.sealed("db")).status_code == 403
    assert await given.events(rt, "secret.opened") == []


async def test_a_recipient_made_anew_under_an_old_name_has_another_key(
    rt: Runtime, billing: Billing, call: Callable[..., Call]
) -> None:
    operator = call(actor=Operator())
    with pytest.raises(Refused) as caught:
        await create_recipient(rt, operator, "billing", None)
    assert caught.value.reason is Reason.CONFLICT
    twice = [create_recipient(rt, operator, "mail", None) for _ in range(4)]
    done = await asyncio.gather(*twice, return_exceptions=True)
    reasons = [one.reason if isinstance(one, Refused) else None for one in done]
    assert sorted(map(str, reasons)) == ["None", *[str(Reason.CONFLICT)] * 3]
    async with rt.pg.autocommit() as tx:
        assert (
            await tx.fetchval("SELECT count(*) FROM auth_clients WHERE client_id <> 'console'") == 2
        )
        await tx.execute("DELETE FROM auth_recipients")
    again = await create_recipient(rt, operator, "billing", billing.made.recipient.client_id)
    assert again.key != billing.made.key


async def test_organizations_have_vaults_of_their_own_and_see_no_other(
    rt: Runtime, platform: httpx2.AsyncClient, browser: Browser
) -> None:
    acme, beta = browser(), browser()
    mine = await signed_in(rt, acme, email="owner@acme.example", role="owner")
    await signed_in(rt, beta, email="owner@beta.example", slug="beta", role="owner")
    tenant = mine["organization"]["id"]
    await platform.put("/admin/secrets/db", json={"value": "of the platform, and long"})
    told = (await acme.put("/admin/secrets/db", json={"value": VALUE})).json()
    assert (told["version"], told["tenant_id"]) == (1, tenant)
    assert (await beta.get("/admin/secrets")).json()["items"] == []
    foreign = await beta.get(f"/admin/secrets/db?tenant_id={tenant}")
    nowhere = await beta.get("/admin/secrets/db")
    assert foreign.status_code == nowhere.status_code == 404
    same = ("type", "title", "detail")
    assert [foreign.json()[k] for k in same] == [nowhere.json()[k] for k in same]
    for answer in (
        await beta.put(f"/admin/secrets/db?tenant_id={tenant}", json={"value": "x"}),
        await beta.delete(f"/admin/secrets/db?tenant_id={tenant}"),
    ):
        assert answer.status_code == 404
    crossed = await platform.get(f"/admin/secrets/db?tenant_id={tenant}")
    assert crossed.json()["fingerprint"] == told["fingerprint"]
    gone = "0198c0de-0000-7000-8000-000000000000"
    unknown = await platform.put(f"/admin/secrets/db?tenant_id={gone}", json={"value": "x"})
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("admin", 200, 200), ("auditor", 200, 403), ("member", 403, 403)]
)
async def test_roles_read_and_write_as_the_table_says(
    rt: Runtime, client: httpx2.AsyncClient, role: str, reads: int, writes: int
) -> None:
    await signed_in(rt, client, email=f"{role}@acme.example", role=role)
    assert (await client.get("/admin/secrets")).status_code == reads
    put = await client.put("/admin/secrets/db", json={"value": VALUE})
    assert put.status_code == writes


@pytest.mark.parametrize(
    ("name", "value", "kind", "mode", "warned"),
    [
        ("pay", "sk_live_" + "a" * 24, "stripe_secret", "live", "Charges, Customers, Invoices"),
        ("pay", "sk_test_" + "a" * 24, "stripe_secret", "test", "rk_"),
        ("pay", "rk_live_" + "a" * 24, "stripe_restricted", "live", None),
        ("pay", "rk_test_" + "a" * 24, "stripe_restricted", "test", None),
        ("pay", "pk_live_" + "a" * 24, "stripe_publishable", "live", None),
        ("pay", "pk_test_" + "a" * 24, "stripe_publishable", "test", None),
        ("pay", "whsec_" + "a" * 24, "stripe_webhook", None, None),
        ("pay", "sk_org_live_" + "a" * 24, "stripe_secret", "live", "rk_"),
        ("pay", " sk_live_ spaced, or with-hyphens", "stripe_secret", "live", "rk_"),
        ("rk_test_pay", "sk_live_" + "a" * 24, "stripe_secret", "live", "rk_"),
        ("pay", "sk_else_" + "a" * 24, "opaque", None, None),
        ("pay", "my_sk_live_" + "a" * 24, "opaque", None, None),
        ("stripe.key", "no key of theirs, this one", "stripe_unknown", None, "none of its keys"),
        ("sk_live_pay", "no key of theirs, this one", "stripe_unknown", None, "none of its keys"),
        ("rk-test.pay", "no key of theirs, this one", "stripe_unknown", None, "none of its keys"),
        ("whsec.pay", "no key of theirs, this one", "stripe_unknown", None, "none of its keys"),
        ("desk_live", "no key of theirs, this one", "opaque", None, None),
    ],
)
async def test_stripe_keys_are_told_apart_and_an_unrestricted_one_is_warned_of(
    rt: Runtime,
    platform: httpx2.AsyncClient,
    name: str,
    value: str,
    kind: str,
    mode: str | None,
    warned: str | None,
) -> None:
    told = (await platform.put(f"/admin/secrets/{name}", json={"value": value})).json()
    assert (told["kind"], told["mode"], told["last_four"]) == (kind, mode, value[-4:])
    listed = (await platform.get("/admin/secrets")).json()["items"]
    (event,) = await given.events(rt, "secret.put")
    for warning in (told["warning"], listed[0]["warning"], event["detail"].get("warning")):
        assert (warning is None) == (warned is None)
        assert (warned or "") in (warning or "")


@pytest.mark.parametrize(
    ("name", "body", "field", "limit"),
    [
        ("UPPER", {"value": "x"}, "name", "64"),
        ("a" * 65, {"value": "x"}, "name", "64"),
        ("sp%20ace", {"value": "x"}, "name", "64"),
        ("nul%00", {"value": "x"}, "name", "64"),
        ("%C3%BC", {"value": "x"}, "name", "64"),
        ("%2E", {"value": "x"}, "name", "`..`"),
        ("%2E%2e", {"value": "x"}, "name", "`..`"),
        ("db", {"value": ""}, "value", str(vault.LARGEST)),
        ("db", {"value_base64": ""}, "value_base64", str(vault.LARGEST)),
        ("db", {"value": "x" * (vault.LARGEST + 1)}, "value", str(vault.LARGEST)),
        ("db", {"value": "ü" * (vault.LARGEST // 2 + 1)}, "value", str(vault.LARGEST)),
        ("db", {"value_base64": "not base64!"}, "value_base64", "base64"),
        ("db", {"value_base64": "ünicode"}, "value_base64", "base64"),
        ("db", {}, "value", "exactly one"),
        ("db", {"value": "x", "value_base64": "eA=="}, "value", "exactly one"),
        ("db", {"value": "x", "recipients": ["nobody"]}, "recipients", "recipient"),
        ("db", {"value": "x", "other": 1}, "other", "not known"),
    ],
)
async def test_bad_input_is_told_its_limit_and_nothing_is_stored(
    rt: Runtime,
    platform: httpx2.AsyncClient,
    name: str,
    body: dict[str, object],
    field: str,
    limit: str,
) -> None:
    answer = await platform.put(f"/admin/secrets/{name}", json=body)
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["fields"]
    assert limit in answer.json()["detail"]
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT count(*) FROM auth_secrets") == 0


@pytest.mark.parametrize("member", ["value", "value_base64"])
async def test_a_body_too_large_to_be_read_is_told_its_limit(
    rt: Runtime, platform: httpx2.AsyncClient, member: str
) -> None:
    answer = await platform.put("/admin/secrets/db", json={member: "x" * 70_000})
    assert (answer.status_code, "65536 bytes" in answer.json().get("detail", "")) == (413, True)
    async with rt.pg.reading() as tx:
        assert await tx.fetchval("SELECT count(*) FROM auth_secrets") == 0


async def test_bytes_outside_utf_8_are_told_of_base64_and_go_in_that_way(
    platform: httpx2.AsyncClient, billing: Billing
) -> None:
    headers = {"content-type": "application/json"}
    for content in (b'{"value": "\xff\xfe"}', b'{"value": "\\ud800"}'):
        answer = await platform.put("/admin/secrets/db", content=content, headers=headers)
        assert (answer.status_code, "value_base64" in answer.json()["detail"]) == (400, True)
    raw = bytes(range(256)) * 64
    body = {"value_base64": base64.b64encode(raw).decode(), "recipients": ["billing"]}
    assert (await platform.put("/admin/secrets/db", json=body)).status_code == 200
    ciphertext = (await billing.sealed("db")).json()["ciphertext"]
    assert open_secret(billing.made.key, ciphertext, "db") == raw


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("sealed = substring(sealed FROM 1 FOR length(sealed) - 5)", "cut short"),
        (
            "sealed = set_byte(sealed, 60, CASE get_byte(sealed, 60) WHEN 65 THEN 66 ELSE 65 END)",
            "altered",
        ),
        ("sealed = convert_to('00000000', 'UTF8') || substring(sealed FROM 9)", "altered"),
        (f"sealed = ({ANOTHER} WHERE name = 'other')", "belongs to another name"),
        (f"sealed = ({ANOTHER} WHERE tenant_id IS NOT NULL)", "belongs to another name"),
        ("sealed = (SELECT sealed FROM auth_root)", "another purpose"),
    ],
)
async def test_a_ciphertext_that_was_damaged_or_moved_is_refused_and_says_how(
    rt: Runtime,
    platform: httpx2.AsyncClient,
    billing: Billing,
    browser: Browser,
    damage: str,
    said: str,
) -> None:
    owner = browser()
    await signed_in(rt, owner, email="owner@acme.example", role="owner")
    body = {"value": VALUE, "recipients": ["billing"]}
    await owner.put("/admin/secrets/db", json=body)
    for name in ("db", "other"):
        await platform.put(f"/admin/secrets/{name}", json=body)
    async with rt.pg.autocommit() as tx:
        touched = await tx.execute(
            f"UPDATE auth_secret_versions SET {damage} WHERE secret_id ="
            " (SELECT secret_id FROM auth_secrets WHERE name = 'db' AND tenant_id IS NULL)"
        )
    assert touched == "UPDATE 1"
    refused = await billing.sealed("db")
    assert (refused.status_code, said in refused.json()["detail"]) == (409, True), refused.text
    assert (await billing.sealed("other")).status_code == 200
    assert VALUE not in refused.text


async def test_the_service_itself_opens_the_mail_server_it_sends_by(
    rt: Runtime, platform: httpx2.AsyncClient
) -> None:
    """Nobody hands it over: an invitation leaves by it, and the opening is noted."""
    async with smtp_sink() as sink:
        url = f"smtp://127.0.0.1:{sink.port}"
        put = await platform.put("/admin/secrets/smtp.url", json={"value": url})
        assert put.status_code == 200, put.text
        invited = await platform.post("/admin/users", json={"email": "eve@acme.example"})
    assert (invited.status_code, invited.json()["link"]) == (201, None)
    (message,) = sink.messages
    assert message["To"] == "eve@acme.example"
    told = (await platform.get("/admin/secrets/smtp.url")).json()
    assert told["opened_by"] == "tesserra-auth"
    (opened,) = await given.events(rt, "secret.opened")
    assert opened["detail"] == {"name": "smtp.url", "version": 1, "recipient": "tesserra-auth"}


async def test_a_mail_server_in_the_vault_that_is_none_costs_no_invitation(
    rt: Runtime, platform: httpx2.AsyncClient
) -> None:
    await platform.put("/admin/secrets/smtp.url", json={"value": "no mail server"})
    invited = await platform.post("/admin/users", json={"email": "eve@acme.example"})
    assert (invited.status_code, bool(invited.json()["link"])) == (201, True)
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_secret_versions SET sealed = 'x'")
    invited = await platform.post("/admin/users", json={"email": "ada@acme.example"})
    assert (invited.status_code, bool(invited.json()["link"])) == (201, True)
