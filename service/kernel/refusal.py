"""Refusals: a reason, which HTTP and the command line translate, and the texts for it."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why something was refused.  Each error format maps all of them (tested)."""

    INVALID_REQUEST = "invalid_request"
    UNAUTHENTICATED = "unauthenticated"
    BAD_CREDENTIALS = "bad_credentials"
    INVALID_CLIENT = "invalid_client"
    INVALID_GRANT = "invalid_grant"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT = "unsupported_grant"
    FORBIDDEN = "forbidden"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    KEY_REUSED = "idempotency_key_reused"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    UNSUPPORTED_MEDIA = "unsupported_media"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class Fault(NamedTuple):
    """One fault of a request: where it is and what must be there, never what was there."""

    at: str
    """A JSON pointer into the body (`#/scopes/0`), or the name of a parameter or a header."""
    detail: str
    unknown: bool = False
    """Whether the fault is an unknown member of the body."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the outermost members of the request that are at fault."""
        return (self.at.removeprefix("#/").partition("/")[0],) if self.at not in ("", "#") else ()

    def said(self) -> str:
        """Return the fault as one sentence."""
        name = "the body" if self.at == "#" else self.at.removeprefix("#/").replace("/", ".")
        return f"{name} {self.detail}".lstrip()


class Refused(Exception):  # noqa: N818 - a decision, not an error
    """The service refuses.  `public` may be shown to anyone; `private` is only logged.

    `fields` names the members of the request that are at fault, never their values.  `faults` says
    what each must be, where that is known.  `retry_after` is in whole seconds.
    """

    def __init__(
        self,
        reason: Reason,
        public: str = "",
        *,
        private: str = "",
        fields: tuple[str, ...] = (),
        retry_after: int | None = None,
        faults: tuple[Fault, ...] = (),
    ) -> None:
        super().__init__(private or public or reason.value)
        self.reason = reason
        self.public = public
        self.private = private
        self.fields = fields
        self.retry_after = retry_after
        self.faults = faults


def faulty(faults: tuple[Fault, ...], reason: Reason = Reason.INVALID_REQUEST) -> Refused:
    """Make a refusal of a request that lists all its faults."""
    return Refused(
        reason,
        "; ".join(fault.said() for fault in faults),
        fields=tuple(dict.fromkeys(name for fault in faults for name in fault.fields)),
        faults=faults,
    )


def wrong(name: str, detail: str) -> Refused:
    """Make a refusal of a request for one member, and say what that must be."""
    return faulty((Fault(f"#/{name}", detail),))


def check_all(*checks: Callable[[], object]) -> None:
    """Run every check, and refuse once for the faults of all of them.

    Refused(INVALID_REQUEST), or the refusal of a check that lists no faults.
    """
    faults: list[Fault] = []
    for check in checks:
        try:
            check()
        except Refused as refused:
            if not refused.faults:
                raise
            faults += refused.faults
    if faults:
        raise faulty(tuple(faults))


def unavailable(private: str, retry_after: int = 1) -> Refused:
    """Make a refusal for a lost dependency: 503 and Retry-After.

    Never 401 in its place: after a 401 clients discard good tokens.
    """
    return Refused(
        Reason.UNAVAILABLE, "try again shortly", private=private, retry_after=retry_after
    )
