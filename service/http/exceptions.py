"""Turns every exception into an answer in the dialect of its route."""

from typing import Any

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import Scope

from service.http import dialect, error_page, oauth_error, problem
from service.http.context import headers
from service.http.dialect import Dialect
from service.http.validation import allowed, path_parameters, query_parameters
from service.kernel.log import log, place
from service.kernel.refusal import Reason, Refused

_CUT_SHORT = "client disconnected prematurely"
"""The framework's text for a body that ended too early or whose chunks are malformed."""

_BY_STATUS = {
    400: Reason.INVALID_REQUEST,
    401: Reason.UNAUTHENTICATED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    405: Reason.METHOD_NOT_ALLOWED,
    413: Reason.TOO_LARGE,
    415: Reason.UNSUPPORTED_MEDIA,
    429: Reason.TOO_MANY,
    503: Reason.UNAVAILABLE,
}


def on_refused(request: Request[Any, Any, State], refused: Refused) -> Response[Any]:
    """Answer a refusal."""
    return refusal(request.scope, refused)


def refusal(scope: Scope, refused: Refused) -> Response[Any]:
    """Return a refusal in the dialect of the request's route."""
    state = scope["state"]
    state["refusal"] = f"{refused.reason.value}: {refused.private or refused.public}"
    match dialect.of(scope):
        case Dialect.OAUTH:
            response: Response[Any] = _oauth(scope, refused)
        case Dialect.API:
            response = _problem(scope, refused)
        case Dialect.PAGE:
            response = error_page.render(refused, state["request_id"])
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(refused.retry_after)
    if refused.reason is Reason.TOO_SLOW:  # RFC 9110 section 15.5.9
        response.headers["Connection"] = "close"
    return response


def _oauth(scope: Scope, refused: Refused) -> Response[Any]:
    scheme = _scheme(scope)
    in_form = scheme is None and scope["state"].get("client_in_form", False)
    return oauth_error.render(refused, scheme, in_form=in_form)


def _problem(scope: Scope, refused: Refused) -> Response[Any]:
    handler = scope.get("route_handler")
    taken = (*query_parameters(handler), *path_parameters(handler)) if handler else ()
    names = [one.name for one in taken]
    return problem.render(refused, scope["state"]["request_id"], names, _scheme(scope))


def _scheme(scope: Scope) -> str | None:
    """Return the scheme of `Authorization`, in lower case; None when there is no such header."""
    given = headers(scope, b"authorization")
    return given[0].partition(" ")[0].lower() if given else None


def on_http_exception(request: Request[Any, Any, State], exc: HTTPException) -> Response[Any]:
    """Answer the framework's own errors.  Their texts may repeat the request and are dropped."""
    reason = _BY_STATUS.get(400 if exc.detail == _CUT_SHORT else exc.status_code)
    if reason is None and exc.status_code >= 500:  # noqa: PLR2004 - HTTP's own number
        return on_fault(request, exc)
    if reason is Reason.TOO_LARGE:
        return on_refused(request, too_large(request.route_handler.resolve_request_max_body_size()))
    response = on_refused(request, Refused(reason or Reason.INVALID_REQUEST))
    if allow := (exc.headers or {}).get("allow"):
        response.headers["Allow"] = allowed(allow.split(", "))
    return response


def too_large(most: int | None) -> Refused:
    """Make the refusal of a body over the limit, which it names."""
    return Refused(Reason.TOO_LARGE, f"a body has at most {most} bytes")


def on_fault(request: Request[Any, Any, State], exc: Exception) -> Response[Any]:
    """Answer an unexpected exception with 500, and log where it came from."""
    request_id = request.scope["state"]["request_id"]
    log().error("fault", request_id=request_id, error=type(exc).__name__, where=place(exc))
    return fault(request.scope)


def fault(scope: Scope) -> Response[Any]:
    """Return the bare 500, in the dialect of the request's route: the request's id and no more."""
    request_id = scope["state"]["request_id"]
    match dialect.of(scope):
        case Dialect.OAUTH:
            return oauth_error.fault()
        case Dialect.API:
            return problem.fault(request_id)
        case Dialect.PAGE:
            return error_page.page(*problem.FAULT, "", request_id)


HANDLERS: dict[int | type[Exception], Any] = {
    Refused: on_refused,
    HTTPException: on_http_exception,
    Exception: on_fault,
}
"""The handler of each exception, for the application."""
