"""Requests to the service.  Each returns an answer or raises RemoteError."""

import asyncio
import base64
import json
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import httpx2

from tesserra_verifier.clock import monotonic

TIMEOUT = 2.5
"""Seconds for an answer, in addition to the time that a poll asked to wait."""

_PATIENCE = 5.0
_OK = 200
_NOT_MODIFIED = 304
_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_SERVER_ERROR = 500


class RemoteError(Exception):
    """The service did not answer, or answered wrongly."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CursorError(RemoteError):
    """The service does not know this cursor: its data is not what was read before."""


class Entry(NamedTuple):
    """One revocation, times in seconds since 1970.

    `tenant_id`: the only organization whose tokens it concerns; None: it does not matter.
    """

    seq: int
    kind: str
    value: str
    cutoff: float | None
    expires_at: float
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the feed, and when (monotonic) it was asked for and came.

    `epoch` is what its numbers count in, and `now` the service's time, where it tells them.
    """

    entries: list[Entry]
    next: int
    has_more: bool
    epoch: str | None
    now: float | None
    sent: float
    received: float


class Remote:
    """The service, seen from one client of it."""

    def __init__(
        self, base_url: str, client_id: str, client_secret: str, http: httpx2.AsyncClient
    ) -> None:
        self._base_url = base_url
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        self._basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._http = http
        self._reading = _Bearer(self, "revocations:read")
        # one of its own: a client that checks no keys need not have the scope
        self._checking = _Bearer(self, "api-keys:verify")

    @property
    def tenant_id(self) -> str | None:
        """The organization of this client, which gets no other organization's revocations."""
        return self._reading.tenant_id

    async def keys(self, etag: str | None) -> tuple[object, str | None] | None:
        """Return the JWKS and its ETag; None when it has not changed since `etag`."""
        # a key may just have been replaced: no cache on the way may answer for the issuer
        headers = {"Cache-Control": "no-cache"} | ({"If-None-Match": etag} if etag else {})
        answer = await self._ask("GET", "/.well-known/jwks.json", headers=headers)
        if answer.status_code == _NOT_MODIFIED and etag:
            return None
        return _json(answer), answer.headers.get("ETag")

    async def revocations(self, after: int | None, wait: int, limit: int) -> Page:
        """Return what the feed holds after a cursor, once there is something or `wait` is over.

        CursorError when the service does not know the cursor.
        """
        params = {"limit": limit, "wait": wait} | ({} if after is None else {"after": after})
        sent, answer = await self._bearing(
            self._reading, "GET", "/revocations", wait, params=params
        )
        received = monotonic()
        if answer.status_code == _BAD_REQUEST and after is not None:
            raise CursorError("the feed does not know the cursor")
        return _page(_json(answer), after, _date(answer), sent, received)

    async def introspect(self, token: str) -> bool:
        """Whether a token is active, by introspection (RFC 7662)."""
        form = {"token": token, "token_type_hint": "access_token"}
        answer = await self._ask(
            "POST", "/oauth/introspect", data=form, headers={"Authorization": self._basic}
        )
        told = _json(answer)
        return isinstance(told, dict) and told.get("active") is True

    async def api_key(
        self, key: str, scope: str | None, address: str | None
    ) -> tuple[float, object]:
        """Return when (monotonic) an API key was asked about, and the service's answer."""
        body = {"key": key}
        body |= {} if scope is None else {"scope": scope}
        body |= {} if address is None else {"address": address}
        sent, answer = await self._bearing(self._checking, "POST", "/api-keys/verify", json=body)
        return sent, _json(answer)

    async def token(self, scope: str) -> tuple[str, int]:
        """Return a token for this client (RFC 6749 section 4.4), and its lifetime in seconds."""
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = await self._ask(
            "POST", "/oauth/token", data=form, headers={"Authorization": self._basic}
        )
        told = _json(answer)
        token = told.get("access_token") if isinstance(told, dict) else None
        seconds = told.get("expires_in") if isinstance(told, dict) else None
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise RemoteError("no access token in the answer")
        return token, seconds

    async def _bearing(
        self, bearer: "_Bearer", method: str, path: str, wait: float = 0, **given: Any
    ) -> tuple[float, httpx2.Response]:
        """Ask with a token of ours: when the question that was answered left, and the answer."""
        for _ in range(2):  # a token may have been revoked; then another one
            token = await bearer.obtain()
            sent = monotonic()
            headers = {"Authorization": f"Bearer {token}"}
            answer = await self._ask(method, path, wait, headers=headers, **given)
            if answer.status_code != _UNAUTHORIZED:
                return sent, answer
            # so may one issued within the second of that revocation; the next will do
            bearer.drop(token)
        raise RemoteError(f"{path}: our own token is refused")

    async def _ask(self, method: str, path: str, wait: float = 0, **given: Any) -> httpx2.Response:
        try:
            async with asyncio.timeout(TIMEOUT + wait):
                return await self._http.request(
                    method,
                    self._base_url + path,
                    follow_redirects=False,
                    timeout=TIMEOUT + wait,
                    **given,
                )
        except TimeoutError:
            raise RemoteError(f"{path}: no answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as exc:
            raise RemoteError(f"{path}: {type(exc).__name__}") from exc


class _Bearer:
    """This client's own token for one scope, renewed in time."""

    def __init__(self, remote: Remote, scope: str) -> None:
        self._remote = remote
        self._scope = scope
        self._lock = asyncio.Lock()
        self.tenant_id: str | None = None
        self._token = ""
        self._renew_at = float("-inf")
        self._ends_at = float("-inf")

    async def obtain(self) -> str:
        """Return a valid token.  RemoteError when none can be got."""
        async with self._lock:
            if monotonic() >= self._renew_at:
                try:
                    await self._renew()
                except RemoteError:
                    if monotonic() >= self._ends_at:
                        raise
                    self._renew_at = monotonic() + _PATIENCE
            return self._token

    def drop(self, token: str) -> None:
        """Stop using this token."""
        if token == self._token:
            self._renew_at = self._ends_at = float("-inf")

    async def _renew(self) -> None:
        asked = monotonic()
        token, seconds = await self._remote.token(self._scope)
        self.tenant_id = _tenant(token)
        self._token = token
        self._renew_at = asked + seconds * 2 / 3
        self._ends_at = asked + seconds


def _tenant(token: str) -> str | None:
    """Return the `tenant_id` of our own token, which came straight from the issuer."""
    try:
        payload = token.split(".")[1]
        tenant_id = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[
            "tenant_id"
        ]
    except KeyError:
        return None
    except (IndexError, ValueError, TypeError):
        raise RemoteError("/oauth/token: not a token of this issuer") from None
    return read_text(tenant_id)


def _json(answer: httpx2.Response) -> object:
    if answer.status_code != _OK:
        seconds = 0.0
        after = answer.headers.get("Retry-After", "")
        if after.isascii() and after.isdigit():
            seconds = min(float(after), _PATIENCE)
        elif _BAD_REQUEST <= answer.status_code < _SERVER_ERROR:
            seconds = _PATIENCE  # the next time will hardly differ
        raise RemoteError(f"{answer.request.url.path}: {answer.status_code}", seconds)
    try:
        told: object = answer.json()
    except (ValueError, RecursionError):
        raise RemoteError(f"{answer.request.url.path}: not JSON") from None
    return told


def _date(answer: httpx2.Response) -> float | None:
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except ValueError:
        return None


def _page(told: Any, after: int | None, date: float | None, sent: float, received: float) -> Page:
    """Read a page whole or not at all: an entry that cannot be read must not be skipped.

    Its own time counts before the `date` of the answer, which a proxy writes by its own clock.
    """
    try:
        entries = [
            Entry(
                _int(entry["seq"]),
                read_text(entry["kind"]),
                read_text(entry["value"]),
                read_moment(entry["cutoff"]) if entry.get("cutoff") is not None else None,
                read_moment(entry["expires_at"]),
                read_text(entry["tenant_id"]) if entry.get("tenant_id") is not None else None,
            )
            for entry in told["entries"]
        ]
        epoch = read_text(told["epoch"]) if "epoch" in told else None
        now = read_moment(told["now"]) if "now" in told else date
        has_more = told["has_more"] is True
        page = Page(entries, _int(told["next"]), has_more, epoch, now, sent, received)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise RemoteError(f"/revocations: not a page: {exc!r}") from None
    seqs = [after or 0, *(entry.seq for entry in entries)]
    ordered = all(one < other for one, other in pairwise(seqs))
    if not ordered or page.next < seqs[-1] or (page.has_more and page.next == after):
        raise RemoteError("/revocations: out of order")
    return page


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not an integer")
    return value


def read_text(value: object) -> str:
    """Return `value` if it is a text; TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def read_moment(value: object) -> float:
    """Read RFC 3339 into seconds since 1970; TypeError or ValueError when it is none."""
    at = datetime.fromisoformat(read_text(value))
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at.timestamp()
