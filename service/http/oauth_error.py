"""A refusal, to an OAuth client: `{"error": ...}` (RFC 6749 section 5.2)."""

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

_NO_STORE = {"Cache-Control": "no-store"}


class OAuthError(Struct, frozen=True, omit_defaults=True):
    """RFC 6749 section 5.2."""

    error: str
    error_description: str = ""


def render(refused: Refused) -> Response[OAuthError]:
    """Render a refusal; only `public` is shown."""
    status, error = STATUS[refused.reason]
    named = f" ({', '.join(refused.fields)})" if refused.fields else ""
    headers = dict(_NO_STORE)
    if refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    if refused.reason is Reason.TOO_SLOW:  # RFC 9110 section 15.5.9
        headers["Connection"] = "close"
    if refused.reason is Reason.INVALID_CLIENT:
        headers["WWW-Authenticate"] = 'Basic realm="tesserra", charset="UTF-8"'
    elif refused.reason in (Reason.UNAUTHENTICATED, Reason.INSUFFICIENT_SCOPE):
        headers["WWW-Authenticate"] = f'Bearer realm="tesserra", error="{error}"'
    return Response(
        OAuthError(error, f"{refused.public}{named}" if refused.public else ""),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
