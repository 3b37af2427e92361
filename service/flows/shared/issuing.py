"""What every kind of sign-in shares: opening a session and issuing its tokens."""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict, replace

from service.domain import families, sessions
from service.domain.clients import CONSOLE
from service.domain.families import Minter, Where, network_of
from service.domain.keyring import Usage
from service.domain.tokens import Claims
from service.domain.users import Account, HeldMembership, Membership, Profile, token_roles
from service.flows.shared.cutoff import after_cutoffs
from service.kernel import ids, metrics
from service.kernel.call import Call
from service.kernel.ids import DeviceId, SessionId, TenantId, UserId
from service.kernel.refusal import Reason, Refused, unavailable
from service.kernel.sql import Writes
from service.policy import seconds
from service.runtime import Runtime


class Opened(Struct, frozen=True):
    """A session that was opened, with the first token of its family."""

    session_id: SessionId
    refresh_token: str
    absolute_expires_at: datetime


class Grantee(Struct, frozen=True, kw_only=True):
    """The person and organization that a token is for, with facts of the session."""

    user_id: UserId
    email: str
    name: str
    platform_admin: bool
    tenant_id: TenantId
    slug: str
    organization: str
    role: str
    policy: str | None
    cutoff: datetime | None
    session_id: SessionId
    client_id: str
    auth_time: datetime
    amr: tuple[str, ...]
    absolute_expires_at: datetime

    def profile(self) -> Profile:
        """Return the profile to show of this person."""
        return Profile(
            email=self.email,
            name=self.name,
            slug=self.slug,
            organization=self.organization,
            role=self.role,
        )

    @classmethod
    def of(
        cls,
        account: Account,
        membership: HeldMembership,
        opened: Opened,
        *,
        auth_time: datetime,
        amr: tuple[str, ...],
    ) -> "Grantee":
        """Return the grantee of a session that was just opened."""
        return cls(
            user_id=account.user_id,
            email=account.email,
            name=account.name,
            platform_admin=account.platform_admin,
            tenant_id=membership.tenant_id,
            slug=membership.slug,
            organization=membership.name,
            role=membership.role,
            policy=membership.policy,
            cutoff=membership.cutoff,
            session_id=opened.session_id,
            client_id=CONSOLE,
            auth_time=auth_time,
            amr=amr,
            absolute_expires_at=opened.absolute_expires_at,
        )


class Granted(Struct, frozen=True, kw_only=True):
    """The tokens for a person.  `refresh_token` only goes into the cookie."""

    grantee: Grantee
    access_token: str
    expires_in: int
    scope: str
    refresh_token: str
    cookie_ttl: int
    device_token: str | None = None
    device_ttl: int = 0


class Issued(Struct, frozen=True):
    """An access token, its lifetime in seconds, and its scopes."""

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str | None = None


def minter(rt: Runtime) -> Minter:
    """Return the maker of refresh tokens."""
    return Minter(rt.keyring.derived(Usage.REFRESH))


def where(call: Call) -> Where:
    """Return the address, network and user agent of a call."""
    return Where(call.ip, network_of(call.ip), call.user_agent)


async def open_session(
    rt: Runtime,
    call: Call,
    tx: Writes,
    user_id: UserId,
    membership: Membership,
    device_id: DeviceId | None,
    amr: tuple[str, ...],
    *,
    auth_time: datetime | None = None,
    expires_at: datetime | None = None,
) -> Opened:
    """Open a session and start its family.  The caller has locked the person.

    A session that continues another one keeps its `auth_time` and absolute expiry.
    """
    lifetimes = rt.policy.tokens_for(membership.policy)
    expires_at = expires_at or call.at + seconds(lifetimes.session_absolute_ttl)
    session_id = SessionId(ids.new(call.at))
    await sessions.insert(
        tx,
        session_id,
        tenant_id=membership.tenant_id,
        user_id=user_id,
        device_id=device_id,
        client_id=CONSOLE,
        amr=amr,
        auth_time=auth_time or call.at,
        at=call.at,
        expires_at=expires_at,
    )
    text, first = minter(rt).first()
    await families.insert(
        tx,
        first,
        session_id,
        at=call.at,
        idle_ttl=seconds(lifetimes.session_idle_ttl),
        absolute_expires_at=expires_at,
        where=where(call),
        recorded=lifetimes.record_every_rotation,
    )
    return Opened(session_id, text, expires_at)


async def grant(
    rt: Runtime,
    call: Call,
    grantee: Grantee,
    refresh_token: str,
    *,
    grant_type: str = "password",
    device_token: str | None = None,
    scopes: tuple[str, ...] | None = None,
) -> Granted:
    """Issue the access token, after any cutoff.  Call it outside of transactions.

    The token has the scopes of the role, or only `scopes`.  Refused(UNAVAILABLE) when the person
    may no longer act after a wait; a repeated request then gets the true reason.
    """

    async def again(_: datetime) -> Grantee:
        async with rt.pg.reading() as tx:
            standing = await families.find_standing(tx, grantee.session_id)
        if standing is None:
            raise unavailable("grant: may not act any more")
        return replace(grantee, **asdict(standing))

    at, grantee = await after_cutoffs(
        rt, call.at, grantee, cutoff=lambda one, _: one.cutoff, again=again
    )
    held = rt.policy.role_scopes.get(grantee.role, ())
    lifetimes = rt.policy.tokens_for(grantee.policy)
    left = max(1, int((grantee.absolute_expires_at - at).total_seconds()))
    expires_in = min(lifetimes.access_token_ttl, left)
    issued = int(at.timestamp())
    claims = Claims(
        iss=rt.settings.issuer,
        sub=str(grantee.user_id),
        aud=rt.tokens.audience,
        exp=issued + expires_in,
        iat=issued,
        jti=str(ids.new(at)),
        client_id=grantee.client_id,
        scope=" ".join(held if scopes is None else [one for one in scopes if one in held]),
        sid=str(grantee.session_id),
        tenant_id=str(grantee.tenant_id),
        roles=token_roles(grantee.role, platform_admin=grantee.platform_admin),
        auth_time=int(grantee.auth_time.timestamp()),
        amr=grantee.amr,
    )
    metrics.issued(grant_type)
    rt.profiles.put(grantee.session_id, grantee.profile())
    return Granted(
        grantee=grantee,
        access_token=rt.tokens.mint(rt.keyring.signing(at), claims),
        expires_in=expires_in,
        scope=claims.scope,
        refresh_token=refresh_token,
        cookie_ttl=left,
        device_token=device_token,
        device_ttl=rt.policy.lockout.device_ttl,
    )


def narrowed(scope: str | None, held: tuple[str, ...]) -> tuple[str, ...]:
    """Return the requested scopes, each once; without a request, all of `held`.

    Refused(INVALID_SCOPE) for a scope that is not held, and for an empty `scope` (RFC 6749 section
    3.3).
    """
    asked = held if scope is None else tuple(dict.fromkeys(scope.split()))
    if not asked or not set(asked) <= set(held):
        raise Refused(
            Reason.INVALID_SCOPE,
            f"scope takes some of: {' '.join(held)}" if held else "no scope is held: leave it out",
            fields=("scope",),
        )
    return asked
