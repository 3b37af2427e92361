"""How the service says no: a reason the wires translate, and what may be shown of it."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why something was refused.  Each wire maps every one of them (tested)."""

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
    """One thing that is wrong with a request: where, and what it must be; never what it was."""

    at: str
    """A JSON pointer into the body (`#/scopes/0`), or the name of a parameter or a header."""
    detail: str
    names: tuple[str, ...] = ()
    """Members that are not known, where these are what is wrong."""
    unknown: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the members of the request at fault, the outermost."""
        if self.unknown:
            return self.names
        return (self.at.removeprefix("#/").partition("/")[0],) if self.at not in ("", "#") else ()

    def said(self) -> str:
        """Return it as a sentence."""
        name = "the body" if self.at == "#" else self.at.removeprefix("#/").replace("/", ".")
        return f"{name} {self.detail}".lstrip()


class Refused(Exception):  # noqa: N818 - a decision, not an error
    """We decided no.  `public` may be shown to anyone; `private` is only logged.

    `fields` names the members of the request at fault, never their values; `faults` says of each
    what it must be, where more is known than `public` tells.
    `retry_after` is in whole seconds.
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
    """Refuse a request for all that is wrong with it, at once."""
    return Refused(
        reason,
        "; ".join(fault.said() for fault in faults),
        fields=tuple(dict.fromkeys(name for fault in faults for name in fault.fields)),
        faults=faults,
    )


def wrong(name: str, detail: str) -> Refused:
    """Refuse a request for one of its members, and say what that must be."""
    return faulty((Fault(f"#/{name}", detail),))


def check_all(*checks: Callable[[], object]) -> None:
    """Make every check, and refuse for all that is wrong at once.

    Refused: INVALID_REQUEST; whatever else one of them refuses for.
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
    """Say that a dependency is gone: 503 and Retry-After; after a 401 clients drop good tokens."""
    return Refused(
        Reason.UNAVAILABLE, "try again shortly", private=private, retry_after=retry_after
    )
