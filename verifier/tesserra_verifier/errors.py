"""Errors for refused requests, with the answer for each (RFC 6750 section 3)."""

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
"""Why a token is refused.  Log it; never show it to the client."""


class VerifierError(Exception):
    """A refused request.  `status`, `headers` and `body` are its answer."""

    status: ClassVar[int]
    title: ClassVar[str]
    code: ClassVar[str] = ""
    """The error code of RFC 6750 section 3.1; empty where that section has none."""

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
        """Return the body of the answer (RFC 9457).  It says no more than the status."""
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
    """The token is not genuine, has expired or is revoked.  `reason` says which, for your log."""

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
    """The token or API key is good but lacks a scope."""

    status = 403
    title = "The access token lacks a scope"
    code = "insufficient_scope"

    def __init__(self, *needed: str) -> None:
        super().__init__(" ".join(needed))
        self.needed = needed

    def _challenge(self) -> str:
        return f'{super()._challenge()}, scope="{" ".join(self.needed)}"'


class UnavailableError(VerifierError):
    """The known revocations or keys are too old to decide about this token."""

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
