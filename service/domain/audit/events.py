"""The catalogue of events.  A tag is never used again for something else.

Who asked, when, from where and in which request are the Call's and are recorded beside the event.
The first three fields are columns; the others become `detail`.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

from service.kernel.ids import SessionId, TenantId, UserId

Failure: TypeAlias = Literal["unknown", "wrong_password", "locked", "disabled", "no_membership"]


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """A fact about an organization, a person and a session, as far as it concerns one."""

    tenant_id: TenantId | None = None
    user_id: UserId | None = None
    session_id: SessionId | None = None


class SignedIn(Event, tag="sign_in.succeeded", frozen=True):
    """A person signed in (authn_login_success)."""

    known_device: bool
    password_rehashed: bool = False


class SignInFailed(Event, tag="sign_in.failed", frozen=True):
    """Someone did not get in (authn_login_fail).  The answer never tells why; this does."""

    why: Failure


class LockedOut(Event, tag="lockout.started", frozen=True):
    """The last failure allowed locked the account for this device (authn_login_lock)."""

    known_device: bool


class SessionEnded(Event, tag="session.ended", frozen=True):
    """A session was ended; `count` of them when they ended together."""

    why: str
    count: int = 1
    crossing_from: TenantId | None = None


class SessionMoved(Event, tag="session.moved", frozen=True):
    """A session is used from another network or agent than before."""

    network_before: str | None
    network_now: str | None
    agent_changed: bool


class TokenRotated(Event, tag="token.rotated", frozen=True):
    """A routine rotation, recorded only where policy asks for it."""

    generation: int


class FamilyBurned(Event, tag="family.burned", frozen=True):
    """A refresh token was presented again: someone else holds a copy (RFC 9700 section 4.14.2)."""

    presented_generation: int
    current_generation: int


class PasswordChanged(Event, tag="password.changed", frozen=True):
    """A person chose a new password."""

    sessions_ended: int


class PasswordChangeFailed(Event, tag="password.change_failed", frozen=True):
    """The current password was wrong, or the account is locked."""

    why: Failure


class OrganizationSwitched(Event, tag="organization.switched", frozen=True):
    """A person moved their session to another of their organizations."""

    from_tenant_id: TenantId


class OrganizationCreated(Event, tag="organization.created", frozen=True):
    """An organization began."""

    slug: str


class UserCreated(Event, tag="user.created", frozen=True):
    """A person was added."""

    platform_admin: bool = False
    imported: bool = False


class MembershipCreated(Event, tag="membership.created", frozen=True):
    """A person became a member."""

    role: str


class ClientCreated(Event, tag="client.created", frozen=True):
    """A service was given a name and scopes."""

    client_id: str
    scopes: tuple[str, ...]


class Revoked(Event, tag="revocation.created", frozen=True):
    """Tokens were revoked by hand, or by the client that held one."""

    kind: str
    value: str
    reason: str
    crossing_from: TenantId | None = None


class Crossed(Event, tag="organization.crossed", frozen=True):
    """A platform administrator looked into an organization that is not theirs (authz_admin)."""

    crossing_from: TenantId
    act: str
