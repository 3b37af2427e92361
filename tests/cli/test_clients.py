"""`client`: its whole life from the command line."""

import json
from typing import Any

import httpx2

from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal, run
from tests.http.admin.test_clients import token


async def test_a_client_is_made_listed_shown_changed_and_deleted(
    rt: Runtime, settings: Settings, client: httpx2.AsyncClient
) -> None:
    person = await given.a_person(rt)

    def ask(*arguments: str) -> dict[str, Any]:
        done = run(settings, "client", *arguments, "--json")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    callback = "https://app.example.com/callback"
    made = ask(
        *("create", "--name", "App", "--organization", "acme", "--public", "--first-party"),
        *("--redirect-uri", callback, "--redirect-uri", "com.example.app:/callback"),
        *("--post-logout-redirect-uri", "https://app.example.com/"),
        *("--origin", "https://app.example.com"),
    )
    assert made["client_secret"] is None
    assert made["organization"] == "acme"
    assert made["redirect_uris"] == [callback, "com.example.app:/callback"]
    assert made["grant_types"] == ["authorization_code", "refresh_token"]
    assert (made["first_party"], made["token_endpoint_auth_method"]) == (True, "none")

    shown = ask("show", made["client_id"])
    assert shown["tenant_id"] == str(person.tenant_id)
    assert shown == {
        name: value for name, value in made.items() if name not in ("client_secret", "organization")
    }
    assert ask("list", "--organization", "acme") == {"items": [shown]}
    assert [one["client_id"] for one in ask("list")["items"]] == ["console"]

    changed = ask("change", made["client_id"], "--name", "Better", "--origin", "", "--tos-uri", "")
    assert changed == shown | {"name": "Better", "origins": []}
    assert ask("change", made["client_id"], "--no-first-party")["first_party"] is False
    assert ask("delete", made["client_id"]) == {"client_id": made["client_id"], "deleted": True}
    assert ask("list", "--organization", "acme") == {"items": []}
    recorded = await given.events(rt)
    assert {one["actor_kind"] for one in recorded} == {"operator"}
    assert [one["event_type"] for one in recorded] == [
        "client.created",
        "client.changed",
        "client.changed",
        "client.deleted",
    ]


async def test_a_secret_is_rotated_and_a_client_disabled_while_the_service_runs(
    rt: Runtime, settings: Settings, client: httpx2.AsyncClient
) -> None:
    made = json.loads(
        run(settings, "client", "create", "--name", "s", "--scope", "agentes", "--json").stdout
    )
    name, first = made["client_id"], made["client_secret"]
    assert (await token(client, name, first)).status_code == 200
    rotated = json.loads(run(settings, "client", "rotate-secret", name, "--json").stdout)
    assert (await token(client, name, rotated["client_secret"])).status_code == 200
    assert (await token(client, name, first)).status_code == 401
    assert run(settings, "client", "disable", name).stdout == f"client {name} disabled\n"
    assert (await token(client, name, rotated["client_secret"])).status_code == 401
    assert run(settings, "client", "enable", name).stdout == f"client {name} enabled\n"
    assert (await token(client, name, rotated["client_secret"])).status_code == 200


async def test_what_cannot_be_is_one_line(rt: Runtime, settings: Settings) -> None:
    assert rt
    for arguments, status, told in (
        (("show", "svc_nobody"), 1, "no such client"),
        (("delete", "console"), 1, "the console is built in"),
        (("disable", "console"), 1, "the console is built in"),
        (("change", "console", "--name", "x"), 1, "the console is built in"),
        (("list", "--organization", "nowhere"), 1, "no such organization"),
        (("create", "--name", "x", "--redirect-uri", "http://evil.example"), 2, "redirect_uris"),
        (("create", "--name", "x"), 2, "scopes must be one or more"),
        (("rotate-secret", "console"), 1, "the console is built in"),
    ):
        assert told in refusal(run(settings, "client", *arguments), status), arguments
