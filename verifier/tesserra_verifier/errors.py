"""Why a request is not let through, and the answer it gets (RFC 6750 section 3)."""

import json
from typing import ClassVar, Literal, TypeAlias

Reason: TypeAlias = Literal[
    "malformed",
    "unknown key",
    "signature",
    "claims",
    "bound",
    "expired",
    "not yet valid",
    "revoked",
]
"""What is wrong with a token: for your log, never for the one who presented it."""


class VerifierError(Exception):
    """A request that is not let through; `status`, `headers` and `body` answer it."""

    status: ClassVar[int]
    title: ClassVar[str]
    code: ClassVar[str] = ""
    """The error code of RFC 6750 section 3.1; empty where that section wants none."""

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "WWW-Authenticate": self._challenge(),
        }

    @property
    def body(self) -> bytes:
        """Return the body of the answer (RFC 9457), which tells no more than the status does."""
        return json.dumps({"title": self.title, "status": self.status}).encode()

    def _challenge(self) -> str:
        return 'Bearer realm="api"' + (f', error="{self.code}"' if self.code else "")


class MissingTokenError(VerifierError):
    """No bearer token was presented.  The challenge names no error (RFC 6750 section 3.1)."""

    status = 401
    title = "An access token is required"


class InvalidRequestError(VerifierError):
    """The Authorization header cannot be read, or there are several."""

    status = 400
    title = "The Authorization header is malformed"
    code = "invalid_request"


class InvalidTokenError(VerifierError):
    """The token is not ours, has expired, or was revoked; `reason` says which, for your log."""

    status = 401
    title = "The access token is not valid"
    code = "invalid_token"

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason


class InvalidKeyError(VerifierError):
    """The API key is not good, or not from this address.

    `reason`, for your log, is `malformed` or what the service says: `unknown` (also of what is
    another organization's), `revoked`, `expired`, `disabled`, `address`.
    """

    status = 401
    title = "The API key is not valid"
    code = "invalid_token"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InsufficientScopeError(VerifierError):
    """The token or the API key is good, and lacks a scope."""

    status = 403
    title = "The access token lacks a scope"
    code = "insufficient_scope"

    def __init__(self, *needed: str) -> None:
        super().__init__(" ".join(needed))
        self.needed = needed

    def _challenge(self) -> str:
        return f'{super()._challenge()}, scope="{" ".join(self.needed)}"'


class UnavailableError(VerifierError):
    """What is known of revocations or keys is too old to vouch for this token."""

    status = 503
    title = "Access tokens cannot be checked at the moment"

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of the answer: when to try again, and no challenge."""
        return {
            "Content-Type": "application/problem+json",
            "Cache-Control": "no-store",
            "Retry-After": "1",
        }
