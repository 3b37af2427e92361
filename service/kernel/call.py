"""The facts of one request: who asks, when and from where.  Every flow takes them."""

from datetime import datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from service.kernel.ids import ApiKeyId, SessionId, TenantId, UserId

PLATFORM_ADMIN: Final = "platform_admin"
"""A role besides the one in a person's own organization: it opens other organizations to them."""


class Nobody(Struct, frozen=True):
    """A caller that presented no credentials."""

    kind: Literal["nobody"] = "nobody"

    @property
    def actor_id(self) -> str | None:
        """None: there is no id without credentials."""
        return None


class Operator(Struct, frozen=True):
    """A person with a shell on the host (the command line), or background work."""

    kind: Literal["operator"] = "operator"

    @property
    def actor_id(self) -> str | None:
        """None: the host does not say which person it is."""
        return None


class Person(Struct, frozen=True, kw_only=True):
    """A signed-in user, acting in one organization."""

    user_id: UserId
    tenant_id: TenantId
    session_id: SessionId
    client_id: str
    """The application that holds the token."""
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    expires_at: datetime
    kind: Literal["user"] = "user"

    @property
    def actor_id(self) -> str:
        """The user's id."""
        return str(self.user_id)

    def crosses(self, tenant_id: TenantId | None) -> bool:
        """Whether a platform administrator acts on an organization that is not their own."""
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

    def crosses(self, tenant_id: TenantId | None) -> bool:
        """Whether a client of the platform acts on an organization."""
        return self.tenant_id is None and tenant_id is not None


class ApiKey(Struct, frozen=True, kw_only=True):
    """A machine that presented an API key, or a token that it exchanged a key for."""

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
    """The state of a rate limit: `left` of the `count` requests allowed in any `window` seconds.

    `seconds` is the time until one more request is allowed.
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
    """The rate limits this request counted against, where the caller may see them."""
