"""Add a person to an organization."""

from msgspec import Struct

from service.domain import audit, users
from service.domain.audit import Event, events
from service.domain.organizations import Organization
from service.domain.users import ROLES, Account, Address, Role
from service.flows.shared.find_organization import find_organization
from service.flows.shared.naming import check_name
from service.kernel import ids
from service.kernel.call import Call
from service.kernel.ids import UserId
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime


class NewUser(Struct, frozen=True, kw_only=True):
    """A person to add.  Without `password_hash` they cannot sign in yet."""

    email: str
    name: str = ""
    organization: str | None = None
    role: str = "member"
    platform_admin: bool = False
    password_hash: str | None = None
    imported: bool = False


async def create_user(rt: Runtime, call: Call, new: NewUser, password: str) -> Account:
    """Create a person with a password.

    Refused: INVALID_REQUEST, NOT_FOUND (no such organization), CONFLICT (the e-mail is taken).
    """
    email = checked_email(new.email).identity
    async with rt.pg.reading() as tx:
        organization = await find_organization(tx, new.organization)
    users.refuse_weak(
        rt.known_passwords,
        password,
        email=email,
        organization=organization.name if organization else "",
    )
    hashed = await rt.passwords.hash(password)
    async with rt.pg.decision() as tx:
        return await insert(call, tx, new, email, organization, hashed)


async def insert(
    call: Call,
    tx: Tx,
    new: NewUser,
    email: str,
    organization: Organization | None,
    password_hash: str,
) -> Account:
    """Add a person and their membership, and record the events.  Create and import share it."""
    role = _checked_role(new.role)
    if new.name:
        check_name(new.name)
    account = Account(
        user_id=UserId(ids.new(call.at)),
        email=email,
        name=new.name,
        password_hash=password_hash,
        password_changed_at=call.at,
        platform_admin=new.platform_admin,
        disabled_at=None,
    )
    taken = await users.find_by_email(tx, users.spellings(email), users.fold_as_before(email))
    if taken is not None or not await users.insert(tx, account, call.at):
        raise Refused(Reason.CONFLICT, "this e-mail is taken", fields=("email",))
    tenant_id = organization.tenant_id if organization else None
    told: list[Event] = [
        events.UserCreated(
            tenant_id=tenant_id,
            user_id=account.user_id,
            platform_admin=new.platform_admin,
            imported=new.imported,
        )
    ]
    if tenant_id is not None:
        await users.insert_membership(tx, tenant_id, account.user_id, role, call.at)
        told.append(
            events.MembershipCreated(tenant_id=tenant_id, user_id=account.user_id, role=role)
        )
    await audit.record_all(tx, call, told)
    return account


def checked_email(given: str) -> Address:
    """Parse an e-mail address for an account.  Refused(INVALID_REQUEST) when it is not valid."""
    address = users.parse_email(given)
    if address is None:
        raise Refused(
            Reason.INVALID_REQUEST,
            "not an e-mail address: it is name@domain, with a domain by IDNA 2008 (in small letters"
            " or as xn--) and a name of visible letters, numbers and ASCII signs without quotes",
            fields=("email",),
        )
    return address


def _checked_role(role: str) -> Role:
    if role not in ROLES:
        raise Refused(
            Reason.INVALID_REQUEST, f"a role is one of {', '.join(ROLES)}", fields=("role",)
        )
    return role
