"""The catalogue of events.  A tag is never used again for something else.

Who asked, when, from where and in which request are the Call's and recorded beside the event.
The first three fields are columns; the others become `detail`.  What a platform administrator does
in an organization that is not theirs says so there by itself: `crossing_from` is whence they came.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

from service.kernel.ids import ApiKeyId, SessionId, TenantId, UserId

Failure: TypeAlias = Literal[
    "unknown", "wrong_password", "locked", "crowded", "disabled", "no_membership"
]
"""Why a password opened nothing.  `crowded`: it was not looked at, as others were being."""


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


class ClientDisabled(Event, tag="client.disabled", frozen=True):
    """A service was disabled, its tokens with it."""

    client_id: str


class ClientEnabled(Event, tag="client.enabled", frozen=True):
    """A service was enabled again."""

    client_id: str


class ClientSecretRotated(Event, tag="client.secret_rotated", frozen=True):
    """A service got another secret; the old one ends with the overlap."""

    client_id: str
    overlap_seconds: int


class Revoked(Event, tag="revocation.created", frozen=True):
    """Tokens were revoked by hand, or by the client that held one."""

    kind: str
    value: str
    reason: str


class Crossed(Event, tag="organization.crossed", frozen=True):
    """A platform administrator looked into an organization that is not theirs (authz_admin)."""

    act: str


class SigningKeyPublished(Event, tag="signing_key.published", frozen=True):
    """A successor was published; it signs from `activates_at` on (crypt_key_created)."""

    kid: str
    algorithm: str
    activates_at: datetime
    scheduled: bool = False


class SigningKeyKilled(Event, tag="signing_key.killed", frozen=True):
    """A key was killed, its tokens with it; `successor` signs from that moment on."""

    kid: str
    state: str
    successor: str | None = None


class SecretPut(Event, tag="secret.put", frozen=True):
    """A secret got a value, or another one; `warning` is what was said about it."""

    name: str
    version: int
    kind: str
    mode: str | None = None
    recipients: tuple[str, ...] = ()
    warning: str | None = None


class SecretOpened(Event, tag="secret.opened", frozen=True):
    """A recipient was handed a secret, under its own key; or the service opened one it uses."""

    name: str
    version: int
    recipient: str


class SecretDeleted(Event, tag="secret.deleted", frozen=True):
    """A secret was removed with all its versions, or one of them (`version`)."""

    name: str
    version: int | None = None


class RecipientCreated(Event, tag="recipient.created", frozen=True):
    """A service may be handed secrets; its key was shown once."""

    name: str
    client_id: str


class RecipientDeleted(Event, tag="recipient.deleted", frozen=True):
    """A service is handed nothing any more."""

    name: str


class MasterRotated(Event, tag="master_key.rotated", frozen=True):
    """Everything sealed was sealed anew under the newest master key; `resealed` had not been."""

    key_id: str
    resealed: int


class ApiKeyCreated(Event, tag="api_key.created", frozen=True):
    """A key was issued.  `user_id` is whose it is; none for the organization's own."""

    key_id: ApiKeyId
    prefix: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None


class ApiKeyRotated(Event, tag="api_key.rotated", frozen=True):
    """A key got a successor and ends with the overlap."""

    key_id: ApiKeyId
    prefix: str
    successor_id: ApiKeyId
    overlap_seconds: int


class ApiKeyRevoked(Event, tag="api_key.revoked", frozen=True):
    """A key was revoked; its record stays."""

    key_id: ApiKeyId
    prefix: str


class ApiKeyDeleted(Event, tag="api_key.deleted", frozen=True):
    """A key was deleted, record and all."""

    key_id: ApiKeyId
    prefix: str


class ApiKeyRefused(Event, tag="api_key.refused", frozen=True):
    """Keys were presented that are not good: `count` alike, of which this request was the first."""

    why: str
    count: int
    key_id: ApiKeyId | None = None


class OrganizationChanged(Event, tag="organization.changed", frozen=True):
    """An organization was renamed, or its lifetimes replaced."""

    renamed: bool
    policy: bool


class OrganizationDisabled(Event, tag="organization.disabled", frozen=True):
    """An organization was disabled, its sessions and tokens with it."""


class OrganizationEnabled(Event, tag="organization.enabled", frozen=True):
    """An organization was enabled again."""


class Invited(Event, tag="invitation.created", frozen=True):
    """Somebody was invited; whom, the invitation says as long as it is kept."""

    role: str
    invitation_id: UUID | None = None


class InvitationWithdrawn(Event, tag="invitation.withdrawn", frozen=True):
    """An open invitation was withdrawn, or a later one to the same address took its place."""

    role: str
    invitation_id: UUID
    replaced_by: UUID | None = None


class RoleChanged(Event, tag="membership.role_changed", frozen=True):
    """A member was given another role (authz_change)."""

    before: str
    after: str


class MembershipSuspended(Event, tag="membership.suspended", frozen=True):
    """A member may not act in this organization for now."""


class MembershipResumed(Event, tag="membership.resumed", frozen=True):
    """A suspended member may act again."""


class MembershipEnded(Event, tag="membership.ended", frozen=True):
    """A person is no member any more."""

    role: str


class UserDisabled(Event, tag="user.disabled", frozen=True):
    """An account was disabled, everywhere."""


class UserEnabled(Event, tag="user.enabled", frozen=True):
    """An account was enabled again."""


class UserErased(Event, tag="user.erased", frozen=True):
    """A person was erased: account, sessions, devices, keys; `trail.erased` tells where else."""


class Unlocked(Event, tag="lockout.lifted", frozen=True):
    """An administrator lifted a lockout."""


class TrailExported(Event, tag="trail.exported", frozen=True):
    """Events were written to a file of the organization's folder."""

    name: str
    first: datetime | None = None
    until: datetime | None = None
    event_type: str | None = None


class PersonExported(Event, tag="user.exported", frozen=True):
    """What the organization keeps of a person was written to a file of its folder."""

    name: str


class TrailExportDeleted(Event, tag="trail.export_deleted", frozen=True):
    """An export was deleted; what it was taken from stays."""

    name: str


class TrailPruned(Event, tag="trail.pruned", frozen=True):
    """Retention dropped whole months, and the checkpoints of what is not there any more."""

    months: int
    before: datetime
    checkpoints: int = 0


class TrailErased(Event, tag="trail.erased", frozen=True):
    """A person's addresses and agents were taken from the trail; the acts stay."""


class LogoChanged(Event, tag="organization.logo_changed", frozen=True):
    """The picture on the sign-in page was replaced, or taken away."""

    removed: bool = False


def _kinds(kind: type[Event]) -> Iterator[type[Event]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


TYPES = tuple(sorted(str(kind.__struct_config__.tag) for kind in _kinds(Event)))
"""The types of all events there are."""
