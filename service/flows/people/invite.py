"""Invite a person to an organization, and accept an invitation."""

from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from service.domain import audit, invitations, organizations, users
from service.domain.audit import events
from service.domain.invitations import Invitation, Open
from service.domain.users import ROLES, Account, Address, Role
from service.flows.people.create_user import checked_email
from service.flows.shared import limiting, password_attempts
from service.flows.shared.idempotency import find_made, keep_made
from service.flows.shared.mailing import send_mail
from service.flows.shared.naming import check_name
from service.flows.shared.permissions import Administrator, Permission, reach, require
from service.flows.shared.reach import (
    hold_organization,
    record_look,
    refuse_above,
    refuse_giving,
    target,
)
from service.kernel import ids
from service.kernel.call import Call, Person
from service.kernel.ids import TenantId, UserId
from service.kernel.mail import Mail
from service.kernel.refusal import Reason, Refused
from service.kernel.sql import Tx
from service.runtime import Runtime

_LASTS = timedelta(days=7)


class Invited(Struct, frozen=True, kw_only=True):
    """An invitation.  `link` is shown only once, at creation, and only if no mail was sent."""

    invitation_id: UUID
    email: str
    role: str
    expires_at: datetime
    link: str | None


class Accepted(Struct, frozen=True):
    """A person who became a member."""

    account: Account
    slug: str


async def invite(
    rt: Runtime, call: Call, tenant_id: TenantId | None, email: str, role: Role
) -> Invited:
    """Invite a person.  The answer does not show whether the e-mail has an account elsewhere.

    An open invitation to the same address is replaced, and its link stops working.  Refused:
    INVALID_REQUEST; FORBIDDEN, as only owners invite owners or replace such an invitation;
    NOT_FOUND; CONFLICT for a member, also a suspended one; TOO_MANY.
    """
    administrator = require(call, Permission.KEEP_PEOPLE)
    there = target(administrator, tenant_id)
    refuse_giving(administrator, role, "role")
    address = checked_email(email)
    await limiting.spend_own(rt, call, "invite", administrator)
    token, expires_at = invitations.new_token(), call.at + _LASTS
    async with rt.pg.decision() as tx:
        made = await find_made(rt, tx, call)
        if made is not None:
            return await _open(tx, call, administrator, UUID(made))
        organization = await hold_organization(tx, administrator, there)
        await _refuse_member(tx, there, address)
        before = await invitations.lock_sent(tx, there, address.spellings, call.at)
        refuse_above(administrator, *(one.role for one in before))
        invitation_id = ids.new(call.at)
        for one in before:
            await invitations.use(tx, one.invitation_id, call.at)
        await invitations.insert(
            tx,
            invitation_id,
            tenant_id=there,
            email=address.identity,
            role=role,
            token_hash=invitations.digest(token),
            invited_by=administrator.user_id if isinstance(administrator, Person) else None,
            at=call.at,
            expires_at=expires_at,
        )
        invited = events.Invited(tenant_id=there, role=role, invitation_id=invitation_id)
        replaced = [_replaced(one, invitation_id) for one in before]
        await audit.record_all(tx, call, [*replaced, invited])
        await keep_made(rt, tx, call, invitation_id)
    link = f"{rt.policy.links.invitation or rt.settings.issuer + '/invitation'}#{token}"
    mailed = await send_mail(
        rt,
        call,
        Mail(
            to=address.mailbox,
            subject=f"Invitation to {organization.name}",
            paragraphs=(
                f"You are invited to {organization.name}.",
                "Follow this link within 7 days to become a member:",
            ),
            link=link,
        ),
    )
    return Invited(
        invitation_id=invitation_id,
        email=address.identity,
        role=role,
        expires_at=expires_at,
        link=None if mailed else link,
    )


async def _refuse_member(tx: Tx, tenant_id: TenantId, address: Address) -> None:
    known = await users.find_by_email(tx, address.spellings, users.fold_as_before(address.identity))
    if known is not None and await users.find_member(tx, tenant_id, known.user_id) is not None:
        raise Refused(
            Reason.CONFLICT,
            "this person is a member already; enable them if they are suspended",
            fields=("email",),
        )


def _replaced(before: Open, successor: UUID) -> events.InvitationWithdrawn:
    return events.InvitationWithdrawn(
        tenant_id=before.tenant_id,
        invitation_id=before.invitation_id,
        role=before.role,
        replaced_by=successor,
    )


async def _open(tx: Tx, call: Call, administrator: Administrator, invitation_id: UUID) -> Invited:
    """Return an invitation that the same request made before, without link.  Refused(NOT_FOUND)."""
    found = await invitations.lock_one(tx, invitation_id, reach(administrator), call.at)
    if found is None:
        raise Refused(Reason.NOT_FOUND, "this invitation is not open any more")
    await record_look(tx, call, found.tenant_id, Permission.KEEP_PEOPLE)
    return Invited(
        invitation_id=invitation_id,
        email=found.email,
        role=found.role,
        expires_at=found.expires_at,
        link=None,
    )


async def accept(rt: Runtime, call: Call, token: str, password: str | None, name: str) -> Accepted:
    """Accept an invitation and become a member.

    A new person chooses a password.  A person with an account must be signed in or give their
    password: a person without any organization cannot sign in, and comes back this way.

    Refused: INVALID_REQUEST for an unknown, used or expired link, a bad name or a weak password;
    UNAUTHENTICATED when the e-mail has an account, and its owner is neither signed in nor gives a
    password; BAD_CREDENTIALS for a wrong password.
    """
    await limiting.spend_address(rt, call, "accept", rt.policy.limits.create)
    if name:
        check_name(name)
    async with rt.pg.autocommit() as tx:
        # The lock ends with its statement.  It waits for a request that is using the link now.
        peeked = await invitations.lock_open(tx, invitations.digest(token), call.at)
        known = await _find(tx, peeked.email) if peeked else None
    if peeked is None:
        raise _closed()
    holder = call.actor.user_id if isinstance(call.actor, Person) else None
    hashed = None
    if known is None and password is not None:
        users.refuse_weak(
            rt.known_passwords, password, email=peeked.email, organization=peeked.organization
        )
        hashed = await rt.passwords.hash(password)
    elif known is not None and password is not None and holder != known.user_id:
        await password_attempts.prove(rt, call, known, password)
        holder = known.user_id
    async with rt.pg.decision() as tx:
        await organizations.lock(tx, peeked.tenant_id)
        if known is not None:  # lock the person before the invitation, as an erasure does
            await users.lock(tx, known.user_id)
        invitation = await invitations.lock_open(tx, invitations.digest(token), call.at)
        if invitation is None:
            raise _closed()
        account = await _account(tx, call, invitation, holder, hashed, name)
        await invitations.use(tx, invitation.invitation_id, call.at)
        role = next(known for known in ROLES if known == invitation.role)
        joined = await users.insert_membership(
            tx, invitation.tenant_id, account.user_id, role, call.at
        )
        if joined:
            await audit.record(
                tx,
                call,
                events.MembershipCreated(
                    tenant_id=invitation.tenant_id, user_id=account.user_id, role=role
                ),
            )
    return Accepted(account, invitation.slug)


async def _account(
    tx: Tx, call: Call, invitation: Invitation, holder: UserId | None, hashed: str | None, name: str
) -> Account:
    """Return the account of the invitation's e-mail: that of the caller, or a new one."""
    known = await _find(tx, invitation.email)
    if known is not None:
        if known.user_id != holder:
            raise Refused(Reason.UNAUTHENTICATED, "sign in with this e-mail first")
        return known
    if hashed is None:
        raise Refused(Reason.INVALID_REQUEST, "choose a password", fields=("password",))
    account = Account(
        user_id=UserId(ids.new(call.at)),
        email=invitation.email,
        name=name,
        password_hash=hashed,
        password_changed_at=call.at,
        platform_admin=False,
        disabled_at=None,
    )
    if not await users.insert(tx, account, call.at):
        raise Refused(Reason.CONFLICT, "try again")
    created = events.UserCreated(tenant_id=invitation.tenant_id, user_id=account.user_id)
    await audit.record(tx, call, created)
    return account


async def _find(tx: Tx, email: str) -> Account | None:
    return await users.find_by_email(tx, users.spellings(email), users.fold_as_before(email))


def _closed() -> Refused:
    return Refused(
        Reason.INVALID_REQUEST, "this invitation is unknown, used or expired", fields=("token",)
    )
