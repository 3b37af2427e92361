"""The facts of one request: who asks, when, from where.  The first word of every flow."""

from datetime import datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from service.kernel.ids import ApiKeyId, SessionId, TenantId, UserId

PLATFORM_ADMIN: Final = "platform_admin"
"""The role, beside that in one's own organization, of who may cross into others."""


class Nobody(Struct, frozen=True):
    """A caller that presented no credentials."""

    kind: Literal["nobody"] = "nobody"

    @property
    def actor_id(self) -> str | None:
        """Nobody has no id."""
        return None


class Operator(Struct, frozen=True):
    """Whoever has a shell on the host: the command line and background work."""

    kind: Literal["operator"] = "operator"

    @property
    def actor_id(self) -> str | None:
        """The host does not tell who it was."""
        return None


class Person(Struct, frozen=True, kw_only=True):
    """A signed-in user, acting in one organization."""

    user_id: UserId
    tenant_id: TenantId
    session_id: SessionId
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    expires_at: datetime
    kind: Literal["user"] = "user"

    @property
    def actor_id(self) -> str | None:
        """The user's id."""
        return str(self.user_id)

    def crosses(self, tenant_id: TenantId | None) -> bool:
        """Tell whether this is somebody of the platform, at an organization that is not theirs."""
        return PLATFORM_ADMIN in self.roles and tenant_id not in (None, self.tenant_id)


class Machine(Struct, frozen=True, kw_only=True):
    """An OAuth client acting for itself.  `tenant_id` is None for a service of the platform."""

    client_id: str
    tenant_id: TenantId | None
    scopes: tuple[str, ...]
    kind: Literal["client"] = "client"

    @property
    def actor_id(self) -> str:
        """The client's id."""
        return self.client_id


class ApiKey(Struct, frozen=True, kw_only=True):
    """A machine that presented an API key, or a token it got for one."""

    key_id: ApiKeyId
    tenant_id: TenantId
    scopes: tuple[str, ...]
    kind: Literal["api_key"] = "api_key"

    @property
    def actor_id(self) -> str:
        """The key's id."""
        return str(self.key_id)


Actor: TypeAlias = Nobody | Operator | Person | Machine | ApiKey


class BudgetState(Struct, frozen=True):
    """How a budget stands: `left` of the `count` that may be spent in any `window` seconds.

    In so many `seconds` the next one is free again.
    """

    name: str
    count: int
    window: int
    left: int
    seconds: int


class Repeatable(Struct, frozen=True):
    """The `Idempotency-Key` of a request, and a digest of what it asks for."""

    key: str
    digest: bytes


class Call(Struct, frozen=True, kw_only=True):
    """One request.  `at` is the one `now` of every decision made for it (UTC)."""

    request_id: str
    at: datetime
    ip: str | None = None
    user_agent: str = ""
    actor: Actor = Nobody()
    repeatable: Repeatable | None = None
    budgets: list[BudgetState] = []
    """What was spent from on the way, as far as the caller is told."""
