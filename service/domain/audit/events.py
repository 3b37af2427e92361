"""The catalogue of events.  A tag is never reused for another kind of event.

Who acted, when, from where and in which request comes from the Call and is recorded beside the
event.  The first three fields are columns; all others go into `detail`.  When a platform
administrator, or a client of the platform, acts in an organization other than its own,
`crossing_from` is added to `detail`: the id of the organization it comes from, or `platform`.
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
"""Why a password was refused.  `crowded`: it was not checked, because as many attempts as may still
fail were being checked."""


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Something that happened, and the organization, person and session that it concerns."""

    tenant_id: TenantId | None = None
    user_id: UserId | None = None
    session_id: SessionId | None = None


class SignedIn(Event, tag="sign_in.succeeded", frozen=True):
    """A person signed in (authn_login_success)."""

    known_device: bool
    password_rehashed: bool = False


class SignInFailed(Event, tag="sign_in.failed", frozen=True):
    """A sign-in failed (authn_login_fail).  `why` is recorded; the answer never tells it."""

    why: Failure


class LockedOut(Event, tag="lockout.started", frozen=True):
    """Too many failed sign-ins locked the account for this device (authn_login_lock)."""

    known_device: bool


class SessionEnded(Event, tag="session.ended", frozen=True):
    """One session was ended, or several at once (`count`).  `why` names the cause."""

    why: str
    count: int = 1


class SessionMoved(Event, tag="session.moved", frozen=True):
    """A session is used from another network or agent than before."""

    network_before: str | None
    network_now: str | None
    agent_changed: bool


class TokenRotated(Event, tag="token.rotated", frozen=True):
    """A refresh token was rotated as usual.  Recorded if policy `record_every_rotation` is true."""

    generation: int


class FamilyBurned(Event, tag="family.burned", frozen=True):
    """A superseded refresh token was used again, so someone may hold a copy; its session was ended
    (RFC 9700 section 4.14.2).
    """

    presented_generation: int
    current_generation: int


class PasswordChanged(Event, tag="password.changed", frozen=True):
    """A person chose a new password."""

    sessions_ended: int


class PasswordChangeFailed(Event, tag="password.change_failed", frozen=True):
    """A person tried to change their password and did not prove the current one; `why` says how."""

    why: Failure


class OrganizationSwitched(Event, tag="organization.switched", frozen=True):
    """A person moved their session to another of their organizations."""

    from_tenant_id: TenantId


class OrganizationCreated(Event, tag="organization.created", frozen=True):
    """An organization was created."""

    slug: str


class UserCreated(Event, tag="user.created", frozen=True):
    """An account was created for a person."""

    platform_admin: bool = False
    imported: bool = False


class MembershipCreated(Event, tag="membership.created", frozen=True):
    """A person became a member of the organization, with this role."""

    role: str


class ClientCreated(Event, tag="client.created", frozen=True):
    """A client was created, with these scopes."""

    client_id: str
    scopes: tuple[str, ...]


class ClientDisabled(Event, tag="client.disabled", frozen=True):
    """A client was disabled, and its tokens were revoked."""

    client_id: str


class ClientEnabled(Event, tag="client.enabled", frozen=True):
    """A client was enabled again."""

    client_id: str


class ClientChanged(Event, tag="client.changed", frozen=True):
    """A client was changed; `fields` names the fields."""

    client_id: str
    fields: tuple[str, ...]


class ClientDeleted(Event, tag="client.deleted", frozen=True):
    """A client was deleted, and its tokens revoked; `sessions` counts its sessions that ended."""

    client_id: str
    name: str
    sessions: int


class ClientSecretRotated(Event, tag="client.secret_rotated", frozen=True):
    """A client got a new secret.  The old one works for `overlap_seconds` more."""

    client_id: str
    overlap_seconds: int


class Revoked(Event, tag="revocation.created", frozen=True):
    """An administrator revoked tokens, or a client revoked its own token."""

    kind: str
    value: str
    reason: str


class Crossed(Event, tag="organization.crossed", frozen=True):
    """A platform administrator or client read data of an organization not its own (authz_admin)."""

    act: str


class SigningKeyPublished(Event, tag="signing_key.published", frozen=True):
    """A new signing key was published; it signs from `activates_at` on (crypt_key_created)."""

    kid: str
    algorithm: str
    activates_at: datetime
    scheduled: bool = False


class SigningKeyKilled(Event, tag="signing_key.killed", frozen=True):
    """A signing key was killed: its tokens are refused, and `successor` signs from then on."""

    kid: str
    state: str
    successor: str | None = None


class SecretPut(Event, tag="secret.put", frozen=True):
    """A secret got a new value.  `warning` is what the answer warned the administrator of."""

    name: str
    version: int
    kind: str
    mode: str | None = None
    recipients: tuple[str, ...] = ()
    warning: str | None = None


class SecretOpened(Event, tag="secret.opened", frozen=True):
    """A secret was handed to a recipient, encrypted under its key, or was read by this service."""

    name: str
    version: int
    recipient: str


class SecretDeleted(Event, tag="secret.deleted", frozen=True):
    """A secret was deleted with all its versions; if `version` is given, only that version."""

    name: str
    version: int | None = None


class RecipientCreated(Event, tag="recipient.created", frozen=True):
    """A service became a recipient of secrets; its key was shown once."""

    name: str
    client_id: str


class RecipientDeleted(Event, tag="recipient.deleted", frozen=True):
    """A service is no longer a recipient of secrets."""

    name: str


class MasterRotated(Event, tag="master_key.rotated", frozen=True):
    """All ciphertexts are under the newest master key; `resealed` of them were encrypted anew."""

    key_id: str
    resealed: int


class ApiKeyCreated(Event, tag="api_key.created", frozen=True):
    """An API key was issued.  `user_id` is its owner; None for a key of the organization."""

    key_id: ApiKeyId
    prefix: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None


class ApiKeyRotated(Event, tag="api_key.rotated", frozen=True):
    """An API key got a successor.  The old key works for `overlap_seconds` more."""

    key_id: ApiKeyId
    prefix: str
    successor_id: ApiKeyId
    overlap_seconds: int


class ApiKeyRevoked(Event, tag="api_key.revoked", frozen=True):
    """An API key was revoked.  It is still listed."""

    key_id: ApiKeyId
    prefix: str


class ApiKeyDeleted(Event, tag="api_key.deleted", frozen=True):
    """An API key was deleted.  It is no longer listed."""

    key_id: ApiKeyId
    prefix: str


class ApiKeyRefused(Event, tag="api_key.refused", frozen=True):
    """API keys were refused, `count` of them for the reason `why`.  The request is the first."""

    why: str
    count: int
    key_id: ApiKeyId | None = None


class OrganizationChanged(Event, tag="organization.changed", frozen=True):
    """An organization was renamed (`renamed`), or its token settings were changed (`policy`)."""

    renamed: bool
    policy: bool


class OrganizationDisabled(Event, tag="organization.disabled", frozen=True):
    """An organization was disabled; its sessions ended and its tokens are refused."""


class OrganizationEnabled(Event, tag="organization.enabled", frozen=True):
    """An organization was enabled again."""


class Invited(Event, tag="invitation.created", frozen=True):
    """A person was invited.  The event holds no address: the invitation does, while it is kept."""

    role: str
    invitation_id: UUID | None = None


class InvitationWithdrawn(Event, tag="invitation.withdrawn", frozen=True):
    """An open invitation was withdrawn, or replaced by a later one to the same address."""

    role: str
    invitation_id: UUID
    replaced_by: UUID | None = None


class RoleChanged(Event, tag="membership.role_changed", frozen=True):
    """A member was given another role (authz_change)."""

    before: str
    after: str


class MembershipSuspended(Event, tag="membership.suspended", frozen=True):
    """A member was suspended: they cannot act in this organization until resumed."""


class MembershipResumed(Event, tag="membership.resumed", frozen=True):
    """A suspended member may act again."""


class MembershipEnded(Event, tag="membership.ended", frozen=True):
    """A person was removed from the organization.  `role` is the role they had."""

    role: str


class UserDisabled(Event, tag="user.disabled", frozen=True):
    """An account was disabled, in all organizations."""


class UserEnabled(Event, tag="user.enabled", frozen=True):
    """An account was enabled again."""


class UserErased(Event, tag="user.erased", frozen=True):
    """A person was erased: account, sessions, devices, API keys.  See also `trail.erased`."""


class Unlocked(Event, tag="lockout.lifted", frozen=True):
    """An administrator lifted a lockout."""


class TrailExported(Event, tag="trail.exported", frozen=True):
    """Events of the trail were exported to a file in the organization's folder."""

    name: str
    first: datetime | None = None
    until: datetime | None = None
    event_type: str | None = None


class PersonExported(Event, tag="user.exported", frozen=True):
    """The data that an organization keeps about a person was exported to a file in its folder."""

    name: str


class TrailExportDeleted(Event, tag="trail.export_deleted", frozen=True):
    """A file of an export was deleted.  The trail itself still has the events."""

    name: str


class TrailPruned(Event, tag="trail.pruned", frozen=True):
    """Months of events that are older than the retention were deleted, with their checkpoints."""

    months: int
    before: datetime
    checkpoints: int = 0


class TrailErased(Event, tag="trail.erased", frozen=True):
    """A person's addresses and user agents were removed from the trail.  Their events were kept."""


class LogoChanged(Event, tag="organization.logo_changed", frozen=True):
    """The logo on the sign-in page was replaced, or removed."""

    removed: bool = False


def _kinds(kind: type[Event]) -> Iterator[type[Event]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


TYPES = tuple(sorted(str(kind.__struct_config__.tag) for kind in _kinds(Event)))
"""The types of all events."""
