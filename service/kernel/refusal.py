"""How the service says no: a reason the wires translate, and what may be shown of it."""

from enum import StrEnum


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


class Refused(Exception):  # noqa: N818 - a decision, not an error
    """We decided no.  `public` may be shown to anyone; `private` is only logged.

    `fields` names the members of the request at fault, never their values.
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
    ) -> None:
        super().__init__(private or public or reason.value)
        self.reason = reason
        self.public = public
        self.private = private
        self.fields = fields
        self.retry_after = retry_after


def unavailable(private: str, retry_after: int = 1) -> Refused:
    """Say that a dependency is gone: 503 and Retry-After; after a 401 clients drop good tokens."""
    return Refused(
        Reason.UNAVAILABLE, "try again shortly", private=private, retry_after=retry_after
    )
