"""OAuth forms, and how a client identifies itself in them.

RFC 6749 section 3.2: no parameter twice, an empty one counts as left out, unknown ones are ignored.
The framework would let bad UTF-8 and control characters through and lose the order; so the body is
read here.
"""

import base64
import re
from urllib.parse import unquote_plus

from litestar.params import RawBody
from litestar.types import Scope
from msgspec import Struct

from service.flows.oauth.authenticate_client import ASSERTION_TYPE, ClientCredentials
from service.http.context import RequestContext, headers, media_type, provide_open
from service.http.field_types import CLEAN
from service.kernel.refusal import Reason, Refused

MEDIA_TYPE = "application/x-www-form-urlencoded"
LONGEST_VALUE = 8192

_CLEAN = re.compile(CLEAN)
_MOST_PARAMETERS = 50
_IN_FORM = ("client_id", "client_secret", "client_assertion")


class Form(Struct, frozen=True):
    """A parsed form, its request, and the client credentials in it."""

    context: RequestContext
    values: dict[str, str]
    presented: ClientCredentials

    def get(self, name: str) -> str | None:
        """Return a parameter, or None."""
        return self.values.get(name)

    def need(self, name: str) -> str:
        """Return a parameter.  Refused(INVALID_REQUEST) when it is missing."""
        value = self.values.get(name)
        if value is None:
            raise Refused(Reason.INVALID_REQUEST, "a parameter is missing", fields=(name,))
        return value


async def provide_form(scope: Scope, body: RawBody) -> Form:
    """Read a form.  Refused: UNSUPPORTED_MEDIA, INVALID_REQUEST, INVALID_CLIENT."""
    if media_type(scope) != MEDIA_TYPE:
        raise Refused(Reason.UNSUPPORTED_MEDIA, f"send {MEDIA_TYPE}")
    values = parse(body)
    scope["state"]["client_in_form"] = not values.keys().isdisjoint(_IN_FORM)
    presented = _presented(headers(scope, b"authorization"), values)
    return Form(await provide_open(scope), values, presented)


def parse(body: bytes) -> dict[str, str]:
    """Parse a form's body.  Refused(INVALID_REQUEST)."""
    found: dict[str, str] = {}
    try:
        pairs = body.decode("ascii").split("&") if body else []
        if len(pairs) > _MOST_PARAMETERS:
            raise _malformed()
        for pair in pairs:
            raw_name, _, raw_value = pair.partition("=")
            name = unquote_plus(raw_name, errors="strict")
            value = unquote_plus(raw_value, errors="strict")
            if name in found:
                raise Refused(Reason.INVALID_REQUEST, "a parameter is there twice: send each once")
            if len(value) > LONGEST_VALUE or not _CLEAN.match(value):
                raise _malformed()
            found[name] = value
    except UnicodeError:
        raise _malformed() from None
    return {name: value for name, value in found.items() if value}


def _presented(headers: list[str], values: dict[str, str]) -> ClientCredentials:
    """Return the client's credentials.  Two ways at once are refused (RFC 6749 section 2.3)."""
    assertion = values.get("client_assertion")
    ways = bool(headers) + ("client_secret" in values) + (assertion is not None)
    if ways > 1 or len(headers) > 1:
        raise Refused(
            Reason.INVALID_REQUEST,
            "identify the client in one way: Authorization, client_secret or client_assertion",
        )
    if headers:
        client_id, secret = _basic(headers[0])
        if values.get("client_id", client_id) != client_id:
            raise Refused(Reason.INVALID_REQUEST, "two clients are named", fields=("client_id",))
        return ClientCredentials(client_id, secret)
    if assertion is not None and values.get("client_assertion_type") != ASSERTION_TYPE:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"{ASSERTION_TYPE} is expected",
            fields=("client_assertion_type",),
        )
    return ClientCredentials(values.get("client_id"), values.get("client_secret"), assertion)


def _basic(header: str) -> tuple[str, str]:
    """Read HTTP Basic; both halves are form-encoded before base64 (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except ValueError:  # no base64, no ASCII inside it or around it
        text = ""
    client_id, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise _malformed_basic()
    try:
        return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except UnicodeError:
        raise _malformed_basic() from None


def _malformed_basic() -> Refused:
    return Refused(
        Reason.INVALID_CLIENT,
        "Authorization must be Basic, with client_id:client_secret (each form-encoded) in base64",
        private="client: malformed Basic",
    )


def _malformed() -> Refused:
    return Refused(
        Reason.INVALID_REQUEST,
        f"the form is malformed: at most {_MOST_PARAMETERS} parameters of {LONGEST_VALUE} letters,"
        " percent-encoded UTF-8 without control characters",
    )
