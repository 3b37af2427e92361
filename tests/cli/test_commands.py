"""Commands: they say what changed, and end with one clear line when they cannot."""

import asyncio
import gzip
import json
from pathlib import Path
from uuid import UUID

import httpx2

from service.runtime import Runtime
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal, run

PASSWORD = b"a password of the shell's"
USER = ("user", "create", "--organization", "acme", "--password-stdin", "--email")


async def test_an_organization_and_its_owner_are_made_and_sign_in(
    rt: Runtime, settings: Settings, client: httpx2.AsyncClient
) -> None:
    made = run(
        settings, "organization", "create", "--slug", "acme", "--name", "Acme & Söhne", "--json"
    )
    assert (made.returncode, made.stderr) == (0, "")
    organization = json.loads(made.stdout)
    assert organization == {"id": organization["id"], "slug": "acme", "name": "Acme & Söhne"}
    assert UUID(organization["id"]).version == 7

    options = ("--role", "owner", "--platform-admin", "--name", "Ada", "--json")
    made = run(settings, *USER, "Ada@Acme.example", *options, stdin=PASSWORD + b"\n")
    assert (made.returncode, made.stderr) == (0, "")
    user = json.loads(made.stdout)
    assert user == {
        "id": user["id"],
        "email": "ada@acme.example",
        "name": "Ada",
        "organization": "acme",
        "role": "owner",
        "platform_admin": True,
    }
    answer = await client.post(
        "/auth/login", json={"email": "ada@acme.example", "password": PASSWORD.decode()}
    )
    assert answer.status_code == 200
    assert answer.json()["organization"]["role"] == "owner"
    recorded = await given.events(rt, "organization.created", "user.created", "membership.created")
    assert [event["actor_kind"] for event in recorded] == ["operator"] * 3
    assert [event["event_type"] for event in recorded] == [
        "organization.created",
        "user.created",
        "membership.created",
    ]


async def test_what_cannot_be_is_one_line_and_changes_nothing(
    rt: Runtime, settings: Settings, tmp_path: Path
) -> None:
    await given.a_person(rt)
    of_bob = (*USER, "bob@acme.example")
    no_text = tmp_path / "keys"
    no_text.write_bytes(b"\xff\xfe\x00")
    keys = ("client", "create", "--name", "a", "--scope", "agentes", "--jwks", str(no_text))
    slug = ("organization", "create", "--name", "-a", "--slug", "-b")
    scopes = ("client", "create", "--name", "\u202e", "--scope", "nosuch")
    cases: list[tuple[str, int, tuple[str, ...], bytes]] = [
        ("slug is taken", 1, ("organization", "create", "--name", "A", "--slug", "acme"), b""),
        ("e-mail is taken", 1, (*USER, "ADA@acme.example"), PASSWORD),
        ("too easy to guess", 2, of_bob, b"password\n"),
        ("password has 8", 2, of_bob, b""),
        ("not UTF-8", 1, of_bob, b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe\xff\n"),
        ("no such organization", 1, (*of_bob, "--organization", "nowhere"), PASSWORD),
        ("jwks must be a JWK set", 2, keys, b""),
        ("slug must be 1 to 63", 2, slug, b""),
        ("for private use; scopes must be one or more, and only of", 2, scopes, b""),
    ]
    tried = [
        asyncio.to_thread(run, settings, *arguments, stdin=stdin)
        for _, _, arguments, stdin in cases
    ]
    for (why, status, _, _), done in zip(cases, await asyncio.gather(*tried), strict=True):
        assert why in refusal(done, status)
    assert await given.events(rt) == []


async def test_a_password_in_the_arguments_is_not_taken(settings: Settings) -> None:
    done = run(settings, *USER, "bob@acme.example", "--password", "a secret of bob")
    assert done.returncode != 0
    assert "a secret of bob" not in done.stderr + done.stdout


async def test_what_stops_a_start_is_named_and_no_secret_shown(
    rt: Runtime, settings: Settings, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[tokens]\nrefresh_grace = 31\n")
    unknown = tmp_path / "unknown.toml"
    unknown.write_text("[hashing]\nmemory = 65536\n")
    no_list, relative = tmp_path / "no-list.toml", tmp_path / "relative.toml"
    no_list.write_text(f'[passwords]\nknown_file = "{tmp_path}/none.txt"\n')
    relative.write_text('[passwords]\nknown_file = "known.txt"\n')
    sender = tmp_path / "sender.toml"
    sender.write_text('[links]\nmail_from = "no address"\n')
    serve: tuple[str, ...] = ("serve",)
    cases: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
        ("AUTH_DATABASE_URL", ("prune",), {"database_url": "s3cret"}),
        ("AUTH_REDIS_URL", serve, {"redis_url": "redis://:s3cret@127.0.0.1:1/0"}),
        ("AUTH_REDIS_URL", serve, {"redis_url": "http://s3cret"}),
        ("AUTH_REDIS_URL", serve, {"redis_url": "redis://127.0.0.1:s3cret/0"}),
        ("AUTH_POLICY_FILE", serve, {"policy_file": str(policy)}),
        ("AUTH_DATA_DIR", serve, {"data_dir": str(policy)}),
        ("AUTH_DATA_DIR", serve, {"data_dir": str(policy / "folder")}),
        ("AUTH_POLICY_FILE", serve, {"policy_file": str(unknown)}),
        ("AUTH_POLICY_FILE", serve, {"policy_file": str(tmp_path)}),
        ("passwords.known_file", serve, {"policy_file": str(no_list)}),
        ("passwords.known_file", serve, {"policy_file": str(relative)}),
        ("links.mail_from", serve, {"policy_file": str(sender)}),
        ("AUTH_SMTP_URL", serve, {"smtp_url": "http://s3cret"}),
        ("AUTH_SMTP_URL", serve, {"smtp_url": "smtps://mail.example:s3cret"}),
        ("AUTH_MASTER_KEYS", serve, {"master_keys": "s3cret" + "A" * 36 + "=="}),
        ("migrations are pending", serve, {"database_schema": "another"}),
    ]
    tried = [
        asyncio.to_thread(run, settings, *arguments, more=more) for _, arguments, more in cases
    ]
    for (named, _, _), done in zip(cases, await asyncio.gather(*tried), strict=True):
        line = refusal(done)
        assert named in line
        assert "s3cret" not in line


async def test_a_person_is_erased_by_id_or_by_e_mail_and_not_by_accident(
    rt: Runtime, settings: Settings
) -> None:
    ada, bob = await given.a_person(rt), await given.a_person(rt, "bob@acme.example")
    asked = run(settings, "user", "erase", ada.email)
    assert (asked.returncode, asked.stdout) == (1, "")
    done = run(settings, "user", "erase", "ADA@acme.example", "--yes", "--json")
    assert json.loads(done.stdout) == {
        "id": str(ada.user_id),
        "memberships": 1,
        "sessions": 0,
        "api_keys": 0,
        "trails": 0,
    }
    assert "1 memberships" in run(settings, "user", "erase", str(bob.user_id), "--yes").stdout
    async with rt.pg.reading() as tx:
        left = {row["email"] for row in await tx.fetch("SELECT email FROM auth_users")}
    assert left == {f"{one.user_id}@erased.invalid" for one in (ada, bob)}
    erased = await given.events(rt, "user.erased")
    assert [event["actor_kind"] for event in erased] == ["operator"] * 2
    assert refusal(run(settings, "user", "erase", "no@body.example", "--yes")) == "no such person"
    assert refusal(run(settings, "user", "erase", "x", "--yes")) == "no such person"


async def test_what_an_organization_keeps_of_a_person_is_written_to_its_folder(
    rt: Runtime, settings: Settings, tmp_path: Path
) -> None:
    ada = await given.a_person(rt)
    there = {"data_dir": str(tmp_path)}
    export = ("user", "export", ada.email, "--organization")
    told = run(settings, *export, "acme", "--json", more=there)
    assert told.returncode == 0, told.stderr
    file = Path(json.loads(told.stdout)["file"])
    assert file.parent == tmp_path / "organizations" / str(ada.tenant_id) / "exports"
    first, *_ = gzip.decompress(file.read_bytes()).splitlines()  # noqa: ASYNC240
    assert json.loads(first)["email"] == ada.email
    await given.an_organization(rt, "other")
    stranger = run(settings, *export, "other", more=there)
    assert refusal(stranger) == "no such person"
    (event,) = await given.events(rt, "user.exported")
    assert (event["actor_kind"], event["user_id"]) == ("operator", ada.user_id)


async def test_an_organization_is_enabled_again_from_the_shell(
    rt: Runtime, settings: Settings
) -> None:
    person = await given.a_person(rt)
    async with rt.pg.autocommit() as tx:
        await tx.execute("UPDATE auth_organizations SET disabled_at = now()")
    done = run(settings, "organization", "enable", "acme", "--json")
    assert json.loads(done.stdout) == {"id": str(person.tenant_id), "slug": "acme"}
    (event,) = await given.events(rt, "organization.enabled")
    assert (event["actor_kind"], event["tenant_id"]) == ("operator", person.tenant_id)
    again = run(settings, "organization", "enable", "acme")
    assert again.returncode == 0
    assert len(await given.events(rt, "organization.enabled")) == 1
    assert refusal(run(settings, "organization", "enable", "none"))
