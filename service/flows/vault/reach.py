"""The shared start of acts on secrets: whose secret is meant, and what is said when it is not."""

from service.domain import vault
from service.domain.audit import events
from service.flows.admin.reach import lock_organization, record_crossing
from service.flows.authority import Act, crossing_from, is_platform_admin, reaches, require
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx


def reach(call: Call, act: Act, given: TenantId | None) -> tuple[Person, TenantId | None]:
    """Return who acts, and in whose vault: the organization given, or one's own.

    A platform administrator's own is the platform's (None).  Refused(NOT_FOUND) out of reach.
    """
    person = require(call, act)
    if given is None:
        return person, None if is_platform_admin(person) else person.tenant_id
    if not reaches(person, given):
        raise not_found()
    return person, given


async def enter(
    tx: Tx, call: Call, person: Person, tenant_id: TenantId | None, act: Act
) -> TenantId | None:
    """Check that the organization exists and record a crossing into it; return from where."""
    if tenant_id is None or tenant_id == person.tenant_id:
        return None
    await lock_organization(tx, tenant_id)
    await record_crossing(tx, call, person, tenant_id, act)
    return crossing_from(person, tenant_id)


def check_name(name: str) -> None:
    """Refused(INVALID_REQUEST) for a name that no secret can have."""
    if not vault.NAME.fullmatch(name):
        raise Refused(
            Reason.INVALID_REQUEST,
            "a name has 1 to 64 characters of a-z, 0-9, dot, hyphen and underscore, and is neither"
            " `.` nor `..`",
            fields=("name",),
        )


def not_found() -> Refused:
    """Say that there is no such secret, here or in anybody else's vault."""
    return Refused(Reason.NOT_FOUND, "no such secret")


def deleted(
    tenant_id: TenantId | None, name: str, version: int | None, crossed: TenantId | None
) -> events.SecretDeleted:
    """Return the event of a secret, or one version of it, that is gone."""
    return events.SecretDeleted(
        tenant_id=tenant_id, name=name, version=version, crossing_from=crossed
    )
