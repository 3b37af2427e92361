"""What every request passes before a handler sees it.

A body: type, encoding, shape, no key twice.  A query string, where the route takes parameters: none
twice, none unknown.  The framework would take JSON under any content type, drop unknown keys and
let the last of two win.  A refusal names the member at fault and never repeats a value.

A POST may say that it may come again: that is noted here, where its body is at hand.
"""

import hashlib
import json
import re
from collections import Counter
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import BodyKwarg, QueryParameter
from litestar.types import Scope
from msgspec import Struct

from service.http.asked import headers, is_json
from service.kernel.call import Repeatable
from service.kernel.refusal import Reason, Refused

_IDEMPOTENCY_KEY = b"idempotency-key"
_LONGEST_KEY = 255
_FIELD = re.compile(r"at `\$\.([\w.\[\]]{1,80})`|(?:required|unknown) field `(\w{1,80})`")


class Expected(Struct, frozen=True):
    """The JSON body that a handler takes."""

    decoder: msgspec.json.Decoder[Any]
    optional: bool
    malformed: str
    """What is said of a body that is no JSON at all."""

    @classmethod
    def of(cls, handler: BaseRouteHandler) -> "Expected | None":
        """Return what a handler takes; None when that is no JSON."""
        field = handler.parsed_data_field
        if field is None or not isinstance(field.kwarg_definition, BodyKwarg):
            return None
        if field.kwarg_definition.media_type != "application/json":
            return None
        malformed = handler.opt.get("malformed", "the body is not the JSON expected")
        return cls(msgspec.json.Decoder(field.annotation), field.is_optional, malformed)

    def read(self, scope: Scope, body: bytes) -> object:
        """Read a body.  Refused: UNSUPPORTED_MEDIA, INVALID_REQUEST."""
        if not body and self.optional:
            return None
        if not is_json(scope):
            raise Refused(Reason.UNSUPPORTED_MEDIA, "send application/json")
        try:
            found: object = self.decoder.decode(body)
            _decode_again(body.decode())
        except msgspec.ValidationError as exc:
            raise Refused(
                Reason.INVALID_REQUEST, _explained(str(exc)), fields=_fields(str(exc))
            ) from None
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise Refused(Reason.INVALID_REQUEST, self.malformed) from None
        return found


async def check_request(request: Request[Any, Any, State]) -> None:
    """Refuse a request that is not exactly what its handler takes (runs before each handler).

    A stranger is told to sign in, not what was wrong with it.
    """
    expected = Expected.of(request.route_handler)
    body = await request.body() if expected is not None else b""
    try:
        _check_query(request)
        request.scope["state"]["repeatable"] = _repeatable(request, body)
        if expected is not None:
            expected.read(request.scope, body)
    except Refused:
        provide = request.route_handler.resolve_dependencies().get("asked")
        if provide is not None:
            await provide.dependency(request.scope)
        raise


def _repeatable(request: Request[Any, Any, State], body: bytes) -> Repeatable | None:
    """Return what makes a POST one and the same when it comes again, if its sender says so."""
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
    asked = repr((request.scope["path"], request.scope["query_string"], body))
    return Repeatable(key, hashlib.sha256(asked.encode()).digest())


def _check_query(request: Request[Any, Any, State]) -> None:
    raw = request.scope["query_string"]
    known = _query_names(request.route_handler) if raw else None
    if not known:
        return  # what a cache or a campaign adds to an address without parameters changes nothing
    given = Counter(name for name, _ in parse_qsl(raw.decode("latin-1"), keep_blank_values=True))
    if given.keys() - known:
        raise Refused(
            Reason.INVALID_REQUEST, f"the query takes no other parameters than: {', '.join(known)}"
        )
    twice = [name for name, count in given.items() if count > 1]
    if twice:
        raise Refused(Reason.INVALID_REQUEST, "a parameter twice", fields=tuple(twice))


@cache
def _query_names(handler: BaseRouteHandler) -> tuple[str, ...]:
    """Return the query parameters a route takes, in order."""
    fields = handler.parsed_fn_signature.parameters.items()
    return tuple(
        (field.kwarg_definition.name or name)
        for name, field in fields
        if isinstance(field.kwarg_definition, QueryParameter)
    )


def _refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


_decode_again = json.JSONDecoder(object_pairs_hook=_refuse_twice).decode


def _fields(message: str) -> tuple[str, ...]:
    match = _FIELD.search(message)
    return (match[1] or match[2],) if match else ()


def _explained(message: str) -> str:
    if "unknown field" in message:
        return "the body has a member that is not known here"
    if "missing required field" in message:
        return "the body lacks a member"
    return "a member of the body is not what it must be"
