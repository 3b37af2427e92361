"""What a hot route would skip is refused at start, at whatever layer it stands."""

from collections.abc import Callable
from typing import Any

import pytest
from litestar import Litestar, Response, Router, get
from litestar.config.allowed_hosts import AllowedHostsConfig
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import CacheControlHeader, Cookie, ETag
from litestar.di import NamedDependency, Provide
from litestar.dto import MsgspecDTO
from litestar.middleware import ASGIMiddleware
from litestar.params import HeaderParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from service.http import exceptions
from service.http.health import Health
from service.http.hot import Hot
from service.http.validation import check_request
from service.kernel.refusal import Refused

PATH = "/hot/one"


class Passing(ASGIMiddleware):
    """Do nothing."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass it on."""
        await next_app(scope, receive, send)


def hook(*_given: Any) -> None:
    """Do nothing, when asked."""


async def later(*_given: Any) -> None:
    """Do nothing, when asked."""


def answer(_request: Any, _exc: Any) -> Response[None]:
    """Answer nothing, when asked."""
    return Response(None)


HOOKS: dict[str, Any] = {
    "middleware": [Passing()],
    "guards": [hook],
    "before_request": later,
    "after_request": later,
    "after_response": later,
    "exception_handlers": {ValueError: answer},
    "response_headers": {"x-of-a-layer": "y"},
    "response_cookies": [Cookie("a", "b")],
    "cache_control": CacheControlHeader(max_age=1),
    "etag": ETag(value="a"),
    "dto": MsgspecDTO[Health],
    "return_dto": MsgspecDTO[Health],
}
HOOKS_OF_APPS: dict[str, Any] = {
    "before_send": [later],
    "after_exception": [later],
    "cors_config": CORSConfig(),
    "csrf_config": CSRFConfig(secret="x" * 32),
    "compression_config": CompressionConfig("gzip"),
    "allowed_hosts": AllowedHostsConfig(["auth.test"]),
}
LAYERS = ("app", "router", "handler")


def built(layer: str, **hooks: Any) -> Litestar:
    """Return an application with one route, and with hooks at a layer of it."""

    @get("/one", **(hooks if layer == "handler" else {}))
    async def one() -> Health:
        return Health()

    router = Router("/hot", route_handlers=[one], **(hooks if layer == "router" else {}))
    usual: dict[str, Any] = {
        "before_request": check_request,
        "exception_handlers": exceptions.HANDLERS,
        "openapi_config": None,
        "logging_config": None,
    }
    return Litestar([router], **{**usual, **(hooks if layer == "app" else {})})


def refused(app: Litestar) -> str:
    with pytest.raises(TypeError) as found:
        Hot(app, [("GET", PATH)])
    return str(found.value)


def test_without_hooks_it_is_a_hot_route() -> None:
    Hot(built("app"), [("GET", PATH)])


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_refused_at_every_layer(layer: str, name: str) -> None:
    told = refused(built(layer, **{name: HOOKS[name]}))
    assert told.startswith(f"GET {PATH} is a hot route")
    assert f"would skip: {name}" in told


@pytest.mark.parametrize("name", HOOKS_OF_APPS)
def test_a_hook_of_the_whole_application_is_refused(name: str) -> None:
    assert f"would skip: {name}" in refused(built("app", **{name: HOOKS_OF_APPS[name]}))


def test_a_parameter_of_a_layer_is_refused() -> None:
    parameters = {"x-trace": HeaderParameter(annotation=str)}
    for layer in "app", "router":
        assert "would skip: parameters" in refused(built(layer, parameters=parameters))


def test_an_answer_from_a_cache_is_refused() -> None:
    assert "would skip: cache" in refused(built("handler", cache=60))


@pytest.mark.parametrize("instead", [answer, exceptions.on_fault])
def test_another_handler_of_refusals_is_refused(instead: Callable[..., Any]) -> None:
    handlers = {**exceptions.HANDLERS, Refused: instead}
    assert "exception_handlers for <class" in refused(built("app", exception_handlers=handlers))


def test_a_second_dependency_is_refused() -> None:
    @get("/one")
    async def one(first: NamedDependency[int], second: NamedDependency[int]) -> Health:
        return Health(str(first + second))

    async def provide_one() -> int:
        return 1

    async def provide_two() -> int:
        return 2

    given = {"first": Provide(provide_one), "second": Provide(provide_two)}
    app = Litestar([Router("/hot", route_handlers=[one], dependencies=given)], openapi_config=None)
    assert "too much for a hot route" in refused(app)
