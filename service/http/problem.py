"""Renders a refusal for the API: problem+json (RFC 9457)."""

from collections.abc import Collection
from typing import Annotated

from litestar import Response
from msgspec import Meta, Struct

from service.kernel.refusal import Fault, Reason, Refused

STATUS: dict[Reason, tuple[int, str]] = {
    Reason.INVALID_REQUEST: (400, "The request is not valid"),
    Reason.UNAUTHENTICATED: (401, "Sign in first"),
    Reason.BAD_CREDENTIALS: (401, "The credentials are not right"),
    Reason.INVALID_CLIENT: (401, "The client is not known"),
    Reason.INVALID_GRANT: (401, "The session cannot be renewed"),
    Reason.INVALID_SCOPE: (400, "The scope is not valid"),
    Reason.INVALID_TARGET: (400, "The target is not valid"),
    Reason.UNAUTHORIZED_CLIENT: (403, "The client may not do this"),
    Reason.UNSUPPORTED_GRANT: (400, "The grant type is not supported"),
    Reason.FORBIDDEN: (403, "This is not allowed"),
    Reason.INSUFFICIENT_SCOPE: (403, "The scope does not reach this far"),
    Reason.NOT_FOUND: (404, "There is nothing here"),
    Reason.METHOD_NOT_ALLOWED: (405, "The method is not allowed"),
    Reason.CONFLICT: (409, "It is in conflict with what exists"),
    Reason.KEY_REUSED: (422, "The Idempotency-Key was another request's"),
    Reason.TOO_SLOW: (408, "The request took too long to arrive"),
    Reason.TOO_LARGE: (413, "The request is too large"),
    Reason.UNSUPPORTED_MEDIA: (415, "The media type is not supported"),
    Reason.TOO_MANY: (429, "Too many requests"),
    Reason.UNAVAILABLE: (503, "Not available right now"),
}
"""Every reason (tested)."""

FAULT = 500, "Something went wrong here"

HEADERS = frozenset({"idempotency-key", "Last-Event-ID"})
"""Request headers that a refusal may name."""


class Wrong(Struct, frozen=True, omit_defaults=True):
    """One fault of the request, and what must be there."""

    detail: str
    pointer: Annotated[str, Meta(description="into the body, a JSON pointer (RFC 6901)")] = ""
    parameter: Annotated[str, Meta(description="of the query or the path")] = ""
    header: str = ""


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457, with the request's id and all that is wrong with the request.

    `fields` are the outermost names in `errors`; neither ever holds a value that was sent.
    """

    type: Annotated[str, Meta(description="`urn:tesserra:refusal:` and the reason")]
    title: str
    status: int
    request_id: str
    detail: str = ""
    fields: tuple[str, ...] = ()
    errors: tuple[Wrong, ...] = ()


def render(
    refused: Refused,
    request_id: str,
    parameters: Collection[str] = (),
    scheme: str | None = None,
) -> Response[Problem]:
    """Render a refusal; only `public` is shown.

    `parameters`: those of the query and the path.  `scheme`: that of Authorization, if it came.
    """
    status, title = STATUS[refused.reason]
    problem = Problem(
        type=f"urn:tesserra:refusal:{refused.reason.value}",
        title=title,
        status=status,
        request_id=request_id,
        detail=refused.public,
        fields=refused.fields,
        errors=tuple(_wrong(fault, parameters) for fault in _faults(refused)),
    )
    return Response(
        problem,
        status_code=status,
        media_type="application/problem+json",
        headers=challenge(refused, status, scheme),
    )


def fault(request_id: str) -> Response[Problem]:
    """Return a 500 without details."""
    status, title = FAULT
    told = Problem("urn:tesserra:refusal:fault", title, status, request_id)
    return Response(told, status_code=status, media_type="application/problem+json")


def _faults(refused: Refused) -> tuple[Fault, ...]:
    return refused.faults or tuple(Fault(name, refused.public) for name in refused.fields)


def _wrong(fault: Fault, parameters: Collection[str]) -> Wrong:
    if fault.at in HEADERS:
        return Wrong(fault.detail, header=fault.at)
    name = fault.at.removeprefix("#/")
    if name in parameters and not fault.unknown:
        return Wrong(fault.detail, parameter=name)
    return Wrong(fault.detail, pointer=f"#/{name}" if name not in ("", "#") else name)


def challenge(refused: Refused, status: int, scheme: str | None) -> dict[str, str]:
    """Return the headers that say how to authenticate, when that was missing or wrong.

    Without a bearer token in the request, they name no error (RFC 6750 section 3.1).
    """
    if status != 401:  # noqa: PLR2004 - HTTP's own number
        return {}
    bad = refused.reason is Reason.UNAUTHENTICATED and scheme == "bearer"
    error = ', error="invalid_token"' if bad else ""
    return {"WWW-Authenticate": f'Bearer realm="tesserra"{error}'}
