"""Checks every request before its handler runs.

A body must have the right media type, encoding and members, each once.  Parameters of a query or a
path must be known, sent once and of the right type.  The framework alone would accept JSON under
any media type, drop unknown members, use the last of two, stop at the first fault and repeat
values.  A refusal lists all faults with what each must be, and never repeats a value.

A body that a route does not take is read and ignored, so that the connection's next request begins
at the right place.

The `Idempotency-Key` of a POST is read here, because its body is at hand.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from typing import Annotated, Any, get_type_hints
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import (
    BodyKwarg,
    HeaderParameter,
    ParameterKwarg,
    PathParameter,
    QueryParameter,
)
from litestar.routes import HTTPRoute
from litestar.types import Scope
from msgspec import Meta, Struct, structs

from service.http.context import headers, is_json, may_have_body
from service.kernel.call import Repeatable
from service.kernel.refusal import Fault, Reason, Refused, faulty
from service.kernel.shape import bare_type, find_faults, given_type, told

_IDEMPOTENCY_KEY = b"idempotency-key"
_LONGEST_KEY = 255
_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}")
_MALFORMED = (msgspec.DecodeError, ValueError, RecursionError)
_ONCE_CALLED = {"organization_id": "tenant_id"}
"""Former names of query parameters that are still accepted."""


class Expected(Struct, frozen=True):
    """The JSON body that a handler takes."""

    form: Any
    decoder: msgspec.json.Decoder[Any]
    optional: bool
    """Whether the body may be left out, because every member may."""
    malformed: str
    """The error text for a body that is not JSON."""

    @classmethod
    @cache
    def of(cls, handler: BaseRouteHandler) -> "Expected | None":
        """Return the body that a handler takes; None when it takes no JSON."""
        field = handler.parsed_data_field
        if field is None or not isinstance(field.kwarg_definition, BodyKwarg):
            return None
        if field.kwarg_definition.media_type != "application/json":
            return None
        form = annotation(handler, "data")
        optional = not any(member.required for member in structs.fields(bare_type(form)))
        malformed = handler.opt.get("malformed", "a JSON body in UTF-8 is expected")
        return cls(form, msgspec.json.Decoder(form), optional, malformed)

    def read(self, scope: Scope, body: bytes) -> object:
        """Read a body.  Refused: UNSUPPORTED_MEDIA, INVALID_REQUEST."""
        if not body and self.optional:
            return None
        if not is_json(scope):
            raise Refused(Reason.UNSUPPORTED_MEDIA, "send application/json")
        try:
            found: object = self.decoder.decode(body)
            _decode_again(body.decode())
        except msgspec.ValidationError:
            raise self._refused(body) from None
        except _MALFORMED as exc:
            raise self._malformed(exc) from None
        return found

    def _refused(self, body: bytes) -> Refused:
        """Make the refusal of a body that is not of the expected type, with all its faults."""
        try:
            faults = find_faults(_decode_again(body.decode()), self.form)
        except _MALFORMED as exc:
            return self._malformed(exc)
        return faulty(faults or (Fault("#", "is not what it must be"),))

    def _malformed(self, exc: Exception) -> Refused:
        told = str(exc) if isinstance(exc, _TwiceError) else self.malformed
        return Refused(Reason.INVALID_REQUEST, told)


class Parameter(Struct, frozen=True):
    """A parameter of a query or a path."""

    name: str
    expected: Any
    required: bool
    default: Any


@cache
def query_parameters(handler: BaseRouteHandler) -> tuple[Parameter, ...]:
    """Return the query parameters of a route, in order."""
    return tuple(_parameters(handler, QueryParameter))


@cache
def path_parameters(handler: BaseRouteHandler) -> tuple[Parameter, ...]:
    """Return the path parameters of a route."""
    return tuple(_parameters(handler, PathParameter))


@cache
def header_parameters(handler: BaseRouteHandler) -> tuple[Parameter, ...]:
    """Return the header parameters of a route."""
    return tuple(_parameters(handler, HeaderParameter))


def _parameters(handler: BaseRouteHandler, kind: type[ParameterKwarg]) -> Iterator[Parameter]:
    for name, field in handler.parsed_fn_signature.parameters.items():
        definition = field.kwarg_definition
        if isinstance(definition, kind):
            expected = annotation(handler, name)
            default = field.default if field.has_default else None
            yield Parameter(definition.name or name, expected, field.is_required, default)


def annotation(handler: BaseRouteHandler, name: str) -> Any:
    """Return the annotated type of a handler's argument, without the framework's markers."""
    hint = get_type_hints(handler.fn, include_extras=True)[name]
    ours = [one for one in hint.__metadata__ if isinstance(one, Meta)]
    return Annotated[(given_type(hint.__origin__), *ours)] if ours else given_type(hint.__origin__)


async def check_request(request: Request[Any, Any, State]) -> Response[None] | None:
    """Refuse a request that is not exactly what its handler takes (runs before each handler).

    An unauthenticated caller only learns that they must sign in.  OPTIONS is answered here, because
    the framework forgets methods of a path that is in several routers.
    """
    if request.method == "OPTIONS":
        methods = _methods(request.app, request.scope["path_template"])
        return Response(None, status_code=204, headers={"Allow": allowed(methods)})
    expected = Expected.of(request.route_handler)
    takes_body = expected is not None or may_have_body(request.scope)
    body = await request.body() if takes_body else b""
    try:
        _check_path(request)
        wrong = (*_wrong_in_query(request), *_wrong_in_headers(request))
        request.scope["state"]["repeatable"] = _repeatable(request, body)
        if expected is not None:
            try:
                expected.read(request.scope, body)
            except Refused as refused:
                if not (refused.faults or wrong):
                    raise
                wrong += refused.faults
        if wrong:
            raise faulty(wrong)
    except Refused:
        provide = request.route_handler.resolve_dependencies().get("context")
        if provide is not None:
            await provide.dependency(request.scope)
        raise
    return None


def _methods(app: Litestar, path: str) -> set[str]:
    return {
        str(method)
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path_format == path
        for handler in route.route_handlers
        for method in handler.http_methods
    }


def allowed(methods: Collection[str]) -> str:
    """Return the value of `Allow` for a path.  A path with GET also has HEAD."""
    return ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))


def _repeatable(request: Request[Any, Any, State], body: bytes) -> Repeatable | None:
    """Return the `Idempotency-Key` of a POST with a digest of its request, if it has a key."""
    given = headers(request.scope, _IDEMPOTENCY_KEY) if request.method == "POST" else []
    if not given:
        return None
    key = given[0]
    if len(given) > 1 or not (
        1 <= len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()
    ):
        raise Refused(
            Reason.INVALID_REQUEST,
            f"one Idempotency-Key, of 1 to {_LONGEST_KEY} printable ASCII characters, is expected",
            fields=(_IDEMPOTENCY_KEY.decode(),),
        )
    wanted = repr((request.scope["path"], request.scope["query_string"], body))
    return Repeatable(key, hashlib.sha256(wanted.encode()).digest())


def _check_path(request: Request[Any, Any, State]) -> None:
    """Refuse a path parameter of a wrong type: NOT_FOUND for a text that is not an id."""
    for one in path_parameters(request.route_handler):
        faults = find_faults(request.path_params[one.name], one.expected, one.name)
        if faults:
            raise faulty(faults, _reason(one.expected))


def _reason(expected: Any) -> Reason:
    info = msgspec.inspect.type_info(expected)
    extra = info.extra if isinstance(info, msgspec.inspect.Metadata) else None
    return Reason((extra or {}).get("refused", Reason.INVALID_REQUEST))


def _wrong_in_query(request: Request[Any, Any, State]) -> Iterator[Fault]:
    taken = query_parameters(request.route_handler)
    if not taken:
        return  # routes without parameters ignore what caches or campaigns add
    given = _query(request.scope, {one.name for one in taken})
    count = Counter(name for name, _ in given)
    texts = dict(given)
    if texts.keys() - {one.name for one in taken}:
        names = ", ".join(one.name for one in taken)
        yield Fault("", f"the query takes no other parameters than: {names}")
    for one in taken:
        if count[one.name] > 1:
            yield Fault(one.name, "is there twice")
        elif one.name in texts:
            yield from find_faults(_value(texts[one.name], one), one.expected, one.name)
        elif one.required:
            yield Fault(one.name, f"is missing: it must be {told(one.expected)}")


def _wrong_in_headers(request: Request[Any, Any, State]) -> Iterator[Fault]:
    for one in header_parameters(request.route_handler):
        for text in headers(request.scope, one.name.lower().encode()):
            yield from find_faults(text, one.expected, one.name)


def _query(scope: Scope, taken: set[str]) -> list[tuple[str, str]]:
    """Return the pairs of a query under their present names, and store them for later readers."""
    given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    named = [
        (_ONCE_CALLED.get(name, name), value) if _ONCE_CALLED.get(name) in taken else (name, value)
        for name, value in given
    ]
    if named != given:
        scope["query_string"] = urlencode(named).encode()
    return named


def _value(text: str, one: Parameter) -> object:
    """Return the value of a query text: digits become a number."""
    return int(text) if bare_type(one.expected) is int and _DIGITS.fullmatch(text) else text


class _TwiceError(ValueError):
    """An object has a member twice."""


def _refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError("a member of the body is there twice")
    return found


_decode_again = json.JSONDecoder(object_pairs_hook=_refuse_twice).decode
