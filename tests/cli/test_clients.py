"""`client`: its whole life from the command line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc.jwk import ECKey

from service.domain.clients import AuthMethod, GrantType
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
    async with asyncio.timeout(2):  # a second, as promised, and one for a busy machine
        while (await token(client, name, rotated["client_secret"])).status_code != 401:
            await asyncio.sleep(0.05)
    assert run(settings, "client", "enable", name).stdout == f"client {name} enabled\n"
    assert (await token(client, name, rotated["client_secret"])).status_code == 200


def ask(settings: Settings, *arguments: str | Path) -> dict[str, Any]:
    done = run(settings, "client", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def key_set(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    key = ECKey.generate_key("P-256", auto_kid=True).as_dict(private=False)
    file.write_text(json.dumps({"keys": [key]}))
    return file


async def test_options_take_the_words_of_the_protocol(
    rt: Runtime, settings: Settings, key_set: Path
) -> None:
    assert rt
    new = ("create", "--name", "x", "--scope", "agentes")
    for method in AuthMethod:
        keys = ("--jwks", key_set) if method is AuthMethod.PRIVATE_KEY_JWT else ()
        grant = ("--grant-type", "refresh_token") if method is AuthMethod.NONE else ()
        made = ask(settings, *new, "--auth-method", method.value, *keys, *grant)
        assert made["token_endpoint_auth_method"] == method.value
    every = [option for grant in GrantType for option in ("--grant-type", grant.value)]
    made = ask(settings, *new, *every, "--redirect-uri", "https://app.example.com/callback")
    assert made["grant_types"] == [grant.value for grant in GrantType]
    changed = ask(settings, "change", made["client_id"], "--grant-type", "client_credentials")
    assert changed["grant_types"] == ["client_credentials"]
    named = ask(settings, "change", made["client_id"], "--auth-method", "client_secret_post")
    assert named["token_endpoint_auth_method"] == "client_secret_post"
    wrong = run(settings, "client", *new, "--auth-method", "SECRET_POST")
    assert (wrong.returncode, "client_secret_post" in wrong.stderr) == (2, True)


async def test_the_remaining_options_are_kept_and_an_empty_value_takes_away(
    rt: Runtime, settings: Settings, key_set: Path
) -> None:
    assert rt
    optional = {
        "--profile": ("profile", "fapi2"),
        "--backchannel-logout-uri": ("backchannel_logout_uri", "https://app.example.com/logout"),
        "--publisher": ("publisher", "Example"),
        "--logo-uri": ("logo_uri", "https://app.example.com/logo.png"),
        "--policy-uri": ("policy_uri", "https://app.example.com/policy"),
        "--tos-uri": ("tos_uri", "https://app.example.com/terms"),
    }
    given = [word for option, (_, value) in optional.items() for word in (option, value)]
    new = ("create", "--name", "x", "--scope", "agentes", "--jwks", key_set)
    made = ask(settings, *new, "--id-token-alg", "ES256", *given)
    assert {name: made[name] for name, _ in optional.values()} == dict(optional.values())
    assert made["id_token_signed_response_alg"] == "ES256"
    emptied = [word for option in optional for word in (option, "")]
    changed = ask(settings, "change", made["client_id"], "--no-require-pkce", *emptied)
    assert changed == made_without(made, *(name for name, _ in optional.values())) | {
        "require_pkce": False
    }


async def test_a_client_moves_from_keys_to_a_secret(
    rt: Runtime, settings: Settings, client: httpx2.AsyncClient, key_set: Path
) -> None:
    assert rt
    made = ask(settings, "create", "--name", "x", "--scope", "agentes", "--jwks", key_set)
    name = made["client_id"]
    assert (made["client_secret"], len(made["jwks"]["keys"])) == (None, 1)
    changed = ask(settings, "change", name, "--jwks", "", "--auth-method", "client_secret_basic")
    assert changed["jwks"] is None
    secret = ask(settings, "rotate-secret", name)["client_secret"]
    assert (await token(client, name, secret)).status_code == 200


async def test_an_empty_value_is_refused_where_there_must_be_one(
    rt: Runtime, settings: Settings
) -> None:
    assert rt
    made = ask(settings, "create", "--name", "x", "--scope", "agentes")
    for option, told in (
        ("--name", "name must be a name of 1 to 200 characters"),
        ("--scope", "scopes must be one or more"),
        ("--auth-method", "--auth-method"),
        ("--grant-type", "--grant-type"),
        ("--id-token-alg", "--id-token-alg"),
    ):
        done = run(settings, "client", "change", made["client_id"], option, "")
        assert (done.returncode, done.stdout) == (2, ""), option
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert "name must be" in refusal(run(settings, "client", "create", "--name", ""), 2)
    shown = ask(settings, "show", made["client_id"])
    assert shown.items() <= made.items()


def made_without(made: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return what `client change` tells of a client without these values."""
    apart = ("client_secret", "organization")
    shown = {name: value for name, value in made.items() if name not in apart}
    return shown | dict.fromkeys(names)


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
