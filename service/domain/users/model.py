"""People, and their membership of organizations."""

from datetime import datetime
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from service.kernel.call import PLATFORM_ADMIN
from service.kernel.ids import TenantId, UserId

Role: TypeAlias = Literal["owner", "admin", "member", "auditor"]
ROLES: tuple[Role, ...] = get_args(Role)


class Account(Struct, frozen=True, kw_only=True):
    """One person's account, for all organizations, with a unique e-mail."""

    user_id: UserId
    email: str
    name: str
    password_hash: str | None
    password_changed_at: datetime | None
    """Unchanged when the same password is hashed again."""
    platform_admin: bool
    disabled_at: datetime | None
    erased_at: datetime | None = None


class Left(Struct, frozen=True):
    """A membership that has just ended."""

    tenant_id: TenantId
    role: Role


class Membership(Struct, frozen=True, kw_only=True):
    """A person's membership of an organization that is not disabled."""

    tenant_id: TenantId
    role: Role
    slug: str
    name: str
    policy: str | None


class HeldMembership(Membership, frozen=True, kw_only=True):
    """A membership that is locked while a session is opened."""

    cutoff: datetime | None
    """Tokens issued up to then are revoked, by a cutoff of the person or the organization."""


class Member(Struct, frozen=True, kw_only=True):
    """A person as the administrators of an organization see them."""

    user_id: UserId
    email: str
    name: str
    platform_admin: bool
    role: Role
    member_since: datetime
    disabled_at: datetime | None
    suspended_at: datetime | None
    has_password: bool

    def acts(self) -> bool:
        """Whether this person can act in this organization."""
        return self.disabled_at is None and self.suspended_at is None

    def owns(self) -> bool:
        """Whether this person is an owner who can act."""
        return self.role == "owner" and self.acts()

    def roles(self) -> tuple[str, ...]:
        """The roles in this person's tokens."""
        return token_roles(self.role, platform_admin=self.platform_admin)


def token_roles(role: str, *, platform_admin: bool) -> tuple[str, ...]:
    """Return the roles of a token: the membership's role, and perhaps platform administrator."""
    return (role, PLATFORM_ADMIN) if platform_admin else (role,)


class Scheme(Struct, frozen=True):
    """A password scheme with its parameters, and one hash made with it."""

    scheme: str
    example: str


def nobody(user_id: UserId) -> str:
    """Return a unique address for an erased account, in a reserved domain (RFC 2606 section 2)."""
    return f"{user_id}@erased.invalid"
