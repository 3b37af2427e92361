"""`user create`, `user import`, `user export`, `user erase`."""

import sys
from pathlib import Path
from typing import Any

import click

from service.cli import edge
from service.cli.export import tell, write
from service.cli.grammar import Group
from service.domain.users import ROLES, Account
from service.flows.people.create_user import NewUser, create_user
from service.flows.people.erase_person import Erased, erase_person, find_person
from service.flows.people.import_users import Outcome, import_users
from service.flows.shared.find_organization import find_tenant
from service.flows.trail.exports import begin_person
from service.kernel.call import Call
from service.runtime import Runtime

_PROGRESS_EVERY = 500


@click.group(cls=Group)
def user() -> None:
    """People."""


@user.command("create")
@click.option("--email", required=True)
@click.option("--name", default="")
@click.option("--organization", required=True, help="Slug.")
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True)
@click.option("--platform-admin", is_flag=True)
@click.option("--password-stdin", is_flag=True, required=True, help="One line on standard input.")
@click.option("--json", "as_json", is_flag=True)
def create(
    email: str,
    name: str,
    organization: str,
    role: str,
    *,
    platform_admin: bool,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Create a person who can sign in.  The password is read from standard input."""
    del password_stdin  # required, so that nobody puts the password in the arguments
    try:
        password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        edge.fail("the password is not UTF-8")
    new = NewUser(
        email=email,
        name=name,
        organization=organization,
        role=role,
        platform_admin=platform_admin,
    )

    async def act(rt: Runtime, call: Call) -> Account:
        return await create_user(rt, call, new, password)

    made = edge.run(act)
    edge.tell(
        f"user {made.email} created: {made.user_id}",
        {
            "id": str(made.user_id),
            "email": made.email,
            "name": made.name,
            "organization": organization,
            "role": role,
            "platform_admin": made.platform_admin,
        },
        as_json=as_json,
    )


@user.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def import_file(file: Path, *, as_json: bool) -> None:
    """Import JSON lines {email, name?, password_hash, organization?, role?}.

    Bad lines are reported by number, and all others are imported.  The exit status is then 1.
    """

    async def act(rt: Runtime, call: Call) -> list[Outcome]:
        outcomes = []
        with file.open("rb") as lines:
            async for outcome in import_users(rt, call, lines):
                outcomes.append(outcome)
                if outcome.error and not as_json:
                    click.echo(f"line {outcome.line}: {outcome.error}", err=True)
                if len(outcomes) % _PROGRESS_EVERY == 0:
                    click.echo(f"{len(outcomes)} lines read", err=True)
        return outcomes

    outcomes = edge.run(act)
    bad = [outcome for outcome in outcomes if outcome.error]
    edge.tell(
        f"{len(outcomes) - len(bad)} imported, {len(bad)} refused",
        {
            "imported": len(outcomes) - len(bad),
            "refused": len(bad),
            "errors": [{"line": one.line, "error": one.error} for one in bad],
        },
        as_json=as_json,
    )
    if bad:
        sys.exit(1)


@user.command("export")
@click.argument("person")
@click.option("--organization", required=True, help="Slug: the organization whose data it is.")
@click.option("--json", "as_json", is_flag=True)
def export(person: str, organization: str, *, as_json: bool) -> None:
    """Write the data that an organization keeps about a PERSON (id or e-mail) to its folder."""

    async def act(rt: Runtime, call: Call) -> dict[str, Any]:
        there = await find_tenant(rt, organization)
        begun = await begin_person(rt, call, there, await find_person(rt, person))
        return await write(rt, begun)

    tell(edge.run(act), as_json=as_json)


@user.command("erase")
@click.argument("person")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True)
def erase(person: str, *, yes: bool, as_json: bool) -> None:
    """Erase a PERSON (id or e-mail) for good.  Events and seals of the audit trail stay."""
    if not yes:
        click.confirm("This cannot be taken back.  Erase?", abort=True, err=True)

    async def act(rt: Runtime, call: Call) -> Erased:
        return await erase_person(rt, call, await find_person(rt, person))

    gone = edge.run(act)
    edge.tell(
        f"user {gone.user_id} erased: {gone.memberships} memberships, {gone.sessions} sessions,"
        f" {gone.api_keys} API keys, personal fields in {gone.trails} trails",
        {
            "id": str(gone.user_id),
            "memberships": gone.memberships,
            "sessions": gone.sessions,
            "api_keys": gone.api_keys,
            "trails": gone.trails,
        },
        as_json=as_json,
    )
