"""Import people from another system, with their password hashes."""

import json
from collections.abc import AsyncIterator, Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from service.flows.people.create_user import NewUser, checked_email, insert
from service.flows.shared.find_organization import find_organization
from service.kernel.call import Call
from service.kernel.passwords import find_fault
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime

_LONGEST_LINE = 16 * 1024


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    email: str
    password_hash: str
    name: str = ""
    organization: str | None = None
    role: str = "member"


class Outcome(Struct, frozen=True):
    """The result of a line.  `error` is None when it was imported; it never shows the hash."""

    line: int
    error: str | None


async def import_users(rt: Runtime, call: Call, lines: Iterable[bytes]) -> AsyncIterator[Outcome]:
    """Import JSON lines, each in its own transaction.  Bad lines are reported, the rest imported.

    Each line has its own time, since a run may take long and events have the time they happen at.

    Hashes may be bcrypt ($2a$, $2b$, $2y$) or Argon2id.  A hash that does not meet the policy is
    replaced at the next sign-in.  `kernel.passwords` bounds their parameters.
    Refused(UNAVAILABLE) ends the import; all lines reported before stay imported.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            await _import_one(rt, replace(call, at=rt.clock.now()), line)
            yield Outcome(number, None)
        except Refused as refused:
            if refused.reason is Reason.UNAVAILABLE:
                raise
            yield Outcome(number, _told(refused))


async def _import_one(rt: Runtime, call: Call, line: bytes) -> None:
    if len(line) > _LONGEST_LINE:
        raise Refused(Reason.INVALID_REQUEST, "the line is longer than 16 KiB")
    try:
        given = msgspec.json.decode(line, type=_Line)
        json.loads(line, object_pairs_hook=_refuse_twice)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Refused(
            Reason.INVALID_REQUEST,
            "not a JSON object {email, name?, password_hash, organization?, role?}",
        ) from None
    email = checked_email(given.email).identity
    if fault := find_fault(given.password_hash):
        raise Refused(Reason.INVALID_REQUEST, fault, fields=("password_hash",))
    new = NewUser(
        email=email,
        name=given.name,
        organization=given.organization,
        role=given.role,
        imported=True,
    )
    async with rt.pg.decision() as tx:
        organization = await find_organization(tx, given.organization)
        await insert(call, tx, new, email, organization, given.password_hash)


def _refuse_twice(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")


def _told(refused: Refused) -> str:
    where = f"{', '.join(refused.fields)}: " if refused.fields else ""
    return where + (refused.public or refused.reason.value)
