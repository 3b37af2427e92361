"""Types of request and answer fields, with their bounds and descriptions.

Each type says what a value must be.  The check, the text of refusals and openapi/ all use that
description.  Flows check some values again, where more is known.
"""

from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta

from service.domain.users import ADDRESS, ROLES
from service.flows.organizations.create import SLUG
from service.flows.shared.naming import LONGEST_NAME, NAME, NAME_IS
from service.flows.shared.new_client import LONGEST_URI
from service.flows.trail.read import EVENT_TYPES
from service.flows.vault.owner import SECRET_NAME
from service.kernel.refusal import Reason

CLEAN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
"""Text without control characters, on one line."""
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_IP = r"[0-9A-Fa-f.:]{2,45}"


def _clean(least: int, most: int) -> Meta:
    told = f"text of {least} to {most} characters, none of them a control character"
    return Meta(min_length=least, max_length=most, pattern=CLEAN, description=told)


def one_of(values: tuple[str, ...]) -> Meta:
    """Return the annotation of a text that must be one of these."""
    return Meta(
        pattern=f"^({'|'.join(value.replace('.', '[.]') for value in values)})\\Z",
        description=f"one of: {', '.join(values)}",
        extra_json_schema={"enum": list(values)},
    )


Name: TypeAlias = Annotated[
    str, Meta(max_length=LONGEST_NAME, pattern=rf"^{NAME}\Z", description=NAME_IS)
]
"""Of a person or a thing, as its owners call it."""
Line: TypeAlias = Annotated[str, _clean(1, 200)]
Member: TypeAlias = Annotated[str, _clean(0, 4096)]
Uri: TypeAlias = Annotated[str, _clean(1, LONGEST_URI)]
"""Its form is checked where it is known what it is for."""

Email: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=320,
        pattern=CLEAN,
        description="an e-mail address of at most 320 characters",
    ),
]
"""What a person types to sign in.  It need not be a valid address."""
Address: TypeAlias = Annotated[
    str,
    Meta(
        max_length=320,
        pattern=rf"^{ADDRESS}\Z",
        description="an e-mail address: name@domain, without quotes and comments, the name of at"
        " most 64 characters, the domain by IDNA 2008",
        extra_json_schema={"format": "idn-email"},
    ),
]
"""An address that mail is sent to."""

Slug: TypeAlias = Annotated[
    str,
    Meta(
        max_length=63,
        pattern=rf"^{SLUG}\Z",
        description="a slug: 1 to 63 lower-case letters, digits and inner hyphens",
    ),
]

Password: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=4096, description="a password of 1 to 4096 characters")
]
"""Every character counts: it is hashed in NFC and goes nowhere else.

This bound is counted as received.  A new password has 8 to 1024 code points, counted in NFC, which
makes up to four code points one.
"""

NewPassword: TypeAlias = Annotated[
    str, Meta(min_length=8, max_length=4096, description="a password of 8 to 1024 characters")
]
"""Chosen now.  The flow counts in NFC, where up to four characters become one."""

_id = Meta(
    pattern=rf"^{_UUID}\Z",
    description="an id: a UUID such as 0198c0de-0000-7000-8000-000000000000",
    extra_json_schema={"format": "uuid"},
)
Id: TypeAlias = Annotated[str, _id]
PathId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=_id.pattern,
        description=_id.description,
        extra_json_schema={"format": "uuid"},
        extra={"refused": Reason.NOT_FOUND},
    ),
]
"""A text that is not an id is answered with 404."""

PLATFORM = "platform"
"""Used in place of an organization's id: things of the platform."""
IdOrPlatform: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^({PLATFORM}|{_UUID})\Z",
        description=f"an organization's id (a UUID), or `{PLATFORM}` for what belongs to none",
    ),
]

Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]
_ADDRESSES = ({"format": "ipv4"}, {"format": "ipv6"})
IpAddress: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^\[?{_IP}\]?\Z",
        description="an IP address such as 192.0.2.1 or 2001:db8::1",
        extra_json_schema={"anyOf": [*_ADDRESSES]},
    ),
]
Network: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{_IP}(/[0-9]{{1,3}})?\Z",
        description="an address or a network such as 192.0.2.1 or 2001:db8::/32, with no bits set"
        " beyond its mask",
        extra_json_schema={
            "anyOf": [
                *_ADDRESSES,
                {"pattern": "^[0-9.]+/([12]?[0-9]|3[0-2])$"},
                {"pattern": "^[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*/([1-9]?[0-9]|1[01][0-9]|12[0-8])$"},
            ]
        },
    ),
]
RoleName: TypeAlias = Annotated[str, one_of(ROLES)]
EventType: TypeAlias = Annotated[str, one_of(EVENT_TYPES)]
RequestId: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{1,64}\Z",
        description="1 to 64 letters, digits, dots, hyphens and underscores",
    ),
]
SecretName: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^{SECRET_NAME}\Z",
        description="a name of 1 to 64 characters of a-z, 0-9, dot, hyphen and underscore, neither"
        " `.` nor `..`",
    ),
]
Scope: TypeAlias = Annotated[
    str,
    Meta(
        max_length=100,
        pattern=r"^[!#-)+-\[\]-~]+\Z",
        description='a scope: 1 to 100 characters of ASCII without spaces, `"`, `*` and `\\`',
    ),
]

Limit: TypeAlias = Annotated[int, Meta(ge=1, le=200)]
"""The largest number of items on a page."""
Cursor: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_-]{1,200}\Z", description="the `next_cursor` of this list's page"),
]


def _named(pattern: str, told: str) -> Meta:
    return Meta(pattern=pattern, description=told, extra={"refused": Reason.NOT_FOUND})


ClientId: TypeAlias = Annotated[str, _named(r"^[ -~]{1,80}\Z", "a client's id")]
KeyId: TypeAlias = Annotated[str, _named(r"^[!-~]{1,200}\Z", "a signing key's `kid`")]
ExportName: TypeAlias = Annotated[
    str, _named(r"^[a-z0-9][a-z0-9_.-]{0,129}\Z", "the name of an export")
]
Version: TypeAlias = Annotated[int, Meta(ge=1, le=999_999_999)]
PathVersion: TypeAlias = Annotated[
    str, _named(r"^[1-9][0-9]{0,8}\Z", "a version: a whole number from 1 on")
]
Base64: TypeAlias = Annotated[
    str,
    Meta(
        min_length=4,
        max_length=21_848,
        pattern=r"^[A-Za-z0-9+/]+={0,2}\Z",
        description="base64 (RFC 4648 section 4, padded) of 1 to 16384 bytes",
    ),
]
