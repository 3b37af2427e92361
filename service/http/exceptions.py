"""Every exception becomes an answer here, in the dialect of its path."""

from typing import Any

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from service.http import oauth_error, problem
from service.http.context import headers
from service.http.validation import allowed, path_parameters, query_parameters
from service.kernel.log import log, place
from service.kernel.refusal import Reason, Refused

_CUT_SHORT = "client disconnected prematurely"
"""What the framework says of a body that ended before its end, or whose chunks are none."""

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
    state = request.scope["state"]
    state["refusal"] = f"{refused.reason.value}: {refused.private or refused.public}"
    scheme = _scheme(request)
    if is_oauth(request):
        in_form = scheme is None and state.get("client_in_form", False)
        return oauth_error.render(refused, scheme, in_form=in_form)
    handler = request.scope.get("route_handler")
    taken = (*query_parameters(handler), *path_parameters(handler)) if handler else ()
    return problem.render(refused, state["request_id"], [one.name for one in taken], scheme)


def _scheme(request: Request[Any, Any, State]) -> str | None:
    """Return the scheme of `Authorization`, in lower case; None when there is no such header."""
    given = headers(request.scope, b"authorization")
    return given[0].partition(" ")[0].lower() if given else None


def is_oauth(request: Request[Any, Any, State]) -> bool:
    """Tell whether the path speaks OAuth's dialect."""
    return request.scope["path"].startswith("/oauth/")


def on_http_exception(request: Request[Any, Any, State], exc: HTTPException) -> Response[Any]:
    """Answer the framework's own refusals; its texts may repeat the request and are dropped."""
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
    """Name the limit that a body is over."""
    return Refused(Reason.TOO_LARGE, f"a body has at most {most} bytes")


def on_fault(request: Request[Any, Any, State], exc: Exception) -> Response[Any]:
    """Answer what nobody foresaw: 500, the request's id and nothing else; the log has the place."""
    request_id = request.scope["state"]["request_id"]
    log().error("fault", request_id=request_id, error=type(exc).__name__, where=place(exc))
    return fault_response(request_id)


def fault_response(request_id: str) -> Response[Any]:
    """Return the bare 500."""
    told = problem.Problem(
        type="urn:tesserra:refusal:fault",
        title="Something went wrong here",
        status=500,
        request_id=request_id,
    )
    return Response(told, status_code=500, media_type="application/problem+json")
