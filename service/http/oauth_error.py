"""Renders a refusal for OAuth clients: `{"error": ...}` (RFC 6749 section 5.2)."""

import re

from litestar import Response
from msgspec import Struct

from service.kernel.refusal import Reason, Refused

STATUS: dict[Reason, tuple[int, str]] = {
    Reason.INVALID_REQUEST: (400, "invalid_request"),
    Reason.UNAUTHENTICATED: (401, "invalid_token"),
    Reason.BAD_CREDENTIALS: (400, "invalid_grant"),
    Reason.INVALID_CLIENT: (401, "invalid_client"),
    Reason.INVALID_GRANT: (400, "invalid_grant"),
    Reason.INVALID_SCOPE: (400, "invalid_scope"),
    Reason.INVALID_TARGET: (400, "invalid_target"),
    Reason.UNAUTHORIZED_CLIENT: (400, "unauthorized_client"),
    Reason.UNSUPPORTED_GRANT: (400, "unsupported_grant_type"),
    Reason.FORBIDDEN: (403, "access_denied"),
    Reason.INSUFFICIENT_SCOPE: (403, "insufficient_scope"),
    Reason.NOT_FOUND: (404, "invalid_request"),
    Reason.METHOD_NOT_ALLOWED: (405, "invalid_request"),
    Reason.CONFLICT: (409, "invalid_request"),
    Reason.KEY_REUSED: (422, "invalid_request"),
    Reason.TOO_SLOW: (408, "invalid_request"),
    Reason.TOO_LARGE: (413, "invalid_request"),
    Reason.UNSUPPORTED_MEDIA: (415, "invalid_request"),
    Reason.TOO_MANY: (429, "temporarily_unavailable"),
    Reason.UNAVAILABLE: (503, "temporarily_unavailable"),
}
"""Every reason (tested)."""

DESCRIPTION: dict[Reason, str] = {
    Reason.INVALID_REQUEST: "the request is malformed",
    Reason.UNAUTHENTICATED: "send a bearer token that is good in Authorization",
    Reason.BAD_CREDENTIALS: "the credentials are not right",
    Reason.INVALID_CLIENT: "the client is unknown or disabled, or did not prove itself",
    Reason.INVALID_GRANT: "the token is unknown, expired, used or ended, or of another client: "
    "sign in anew",
    Reason.INVALID_SCOPE: "ask for scopes that are held, or leave scope out",
    Reason.INVALID_TARGET: "ask for an audience that is known, or leave it out",
    Reason.UNAUTHORIZED_CLIENT: "the client may not do this",
    Reason.UNSUPPORTED_GRANT: "ask for a grant_type of the metadata's grant_types_supported",
    Reason.FORBIDDEN: "this is not allowed",
    Reason.INSUFFICIENT_SCOPE: "use a token of a wider scope",
    Reason.NOT_FOUND: "there is nothing at this address: see the metadata",
    Reason.METHOD_NOT_ALLOWED: "send one of the methods in Allow",
    Reason.CONFLICT: "it is in conflict with what exists",
    Reason.KEY_REUSED: "use another Idempotency-Key for another request",
    Reason.TOO_SLOW: "send the body at once",
    Reason.TOO_LARGE: "send a smaller body",
    Reason.UNSUPPORTED_MEDIA: "send application/x-www-form-urlencoded",
    Reason.TOO_MANY: "wait the seconds of Retry-After",
    Reason.UNAVAILABLE: "wait the seconds of Retry-After and try again",
}
"""The description for each reason, when the refusal has no text.  Complete (tested)."""

_BASIC = 'Basic realm="tesserra", charset="UTF-8"'
_NOT_TO_BE_TOLD = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class OAuthError(Struct, frozen=True, omit_defaults=True):
    """RFC 6749 section 5.2."""

    error: str
    error_description: str = ""


def render(
    refused: Refused, scheme: str | None = None, *, in_form: bool = False
) -> Response[OAuthError]:
    """Render a refusal; only `public` is shown.

    `scheme` is what `Authorization` tried, in lower case; `in_form` says that the client named
    itself in the form and tried no scheme: it is challenged to none (RFC 6749 section 5.2).
    """
    status, error = STATUS[refused.reason]
    headers = {}
    if refused.reason is Reason.INVALID_CLIENT and not in_form:
        headers["WWW-Authenticate"] = _BASIC
    elif refused.reason in (Reason.UNAUTHENTICATED, Reason.INSUFFICIENT_SCOPE):
        told = f', error="{error}"' if scheme == "bearer" else ""  # RFC 6750 section 3.1
        headers["WWW-Authenticate"] = f'Bearer realm="tesserra"{told}'
    return Response(
        OAuthError(error, describe(refused)),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def fault() -> Response[OAuthError]:
    """Return a 500 without details; the code is that of RFC 6749 section 4.1.2.1."""
    return Response(OAuthError("server_error"), status_code=500, media_type="application/json")


def describe(refused: Refused) -> str:
    """Return the description, in the characters that RFC 6749 section 5.2 allows."""
    named = f" ({', '.join(refused.fields)})" if refused.fields else ""
    return _NOT_TO_BE_TOLD.sub("'", (refused.public or DESCRIPTION[refused.reason]) + named)
