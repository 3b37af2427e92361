"""What a person is, and what they are where."""

from datetime import datetime
from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from service.kernel.call import PLATFORM_ADMIN
from service.kernel.ids import TenantId, UserId

Role: TypeAlias = Literal["owner", "admin", "member", "auditor"]
ROLES: tuple[Role, ...] = get_args(Role)


class Account(Struct, frozen=True, kw_only=True):
    """One person, global, known by a unique e-mail."""

    user_id: UserId
    email: str
    name: str
    password_hash: str | None
    password_changed_at: datetime | None
    """Not moved when the same password is hashed anew."""
    platform_admin: bool
    disabled_at: datetime | None
    erased_at: datetime | None = None


class Left(Struct, frozen=True):
    """A membership that has just ended."""

    tenant_id: TenantId
    role: Role


class Membership(Struct, frozen=True, kw_only=True):
    """A person's place in an organization that is not disabled."""

    tenant_id: TenantId
    role: Role
    slug: str
    name: str
    policy: str | None


class HeldMembership(Membership, frozen=True, kw_only=True):
    """One that is held while a session is opened."""

    cutoff: datetime | None
    """What is issued until then is dead: it was revoked with everything before it."""


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
        """Tell whether they can act here at all."""
        return self.disabled_at is None and self.suspended_at is None

    def owns(self) -> bool:
        """Tell whether they are an owner who can act."""
        return self.role == "owner" and self.acts()

    def roles(self) -> tuple[str, ...]:
        """Return the roles that a token of theirs bears."""
        return token_roles(self.role, platform_admin=self.platform_admin)


def token_roles(role: str, *, platform_admin: bool) -> tuple[str, ...]:
    """Return the roles that a token bears: that of the membership, and the platform's."""
    return (role, PLATFORM_ADMIN) if platform_admin else (role,)


class Scheme(Struct, frozen=True):
    """A password scheme with its parameters, and one hash made with it."""

    scheme: str
    example: str


def nobody(user_id: UserId) -> str:
    """Return the address of an erased account: unique, and nobody's (RFC 2606 section 2)."""
    return f"{user_id}@erased.invalid"
