"""/admin/secrets: store values, describe them, and hand them over encrypted to recipients."""

import base64
import binascii
from typing import Annotated

from litestar import Router, delete, get, put
from litestar.di import Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from service.domain.vault import Secret
from service.flows.vault import read
from service.flows.vault.drop import delete_secret, drop_version
from service.flows.vault.hand_over import hand_over
from service.flows.vault.owner import LARGEST
from service.flows.vault.put import NewSecret, put_secret
from service.http.context import FromCaller, provide_administrator, provide_caller
from service.http.field_types import (
    Base64,
    Cursor,
    Id,
    IdOrPlatform,
    Limit,
    Line,
    Moment,
    PathVersion,
    SecretName,
    Version,
)
from service.http.paging import USUAL, next_cursor, read_cursor
from service.http.path_parameters import organization
from service.kernel.refusal import Reason, Refused


class SecretForm(Struct, frozen=True, forbid_unknown_fields=True):
    """A value: text in `value`, or any bytes in `value_base64`; up to 16 KiB."""

    value: Annotated[str, Meta(min_length=1, max_length=LARGEST)] | None = None
    value_base64: Base64 | None = None
    recipients: Annotated[list[Line], Meta(max_length=100)] | None = None

    def __repr__(self) -> str:
        """Show no value."""
        return "SecretForm(...)"


_NOTHING = SecretForm()


class SecretRecord(Struct, frozen=True):
    """A description of a secret's newest version."""

    name: str
    tenant_id: Id | None
    version: int
    fingerprint: str
    kind: str
    mode: str | None
    last_four: str
    recipients: tuple[str, ...]
    created_at: Moment
    created_by: str
    opened_at: Moment | None
    opened_by: str | None
    warning: str | None


class SecretsAnswer(Struct, frozen=True):
    """A page of secrets."""

    items: list[SecretRecord]
    next_cursor: str | None


class VersionRecord(Struct, frozen=True):
    """A description of one version."""

    version: int
    fingerprint: str
    kind: str
    mode: str | None
    last_four: str
    created_at: Moment
    created_by: str
    opened_at: Moment | None
    opened_by: str | None
    warning: str | None


class VersionsAnswer(Struct, frozen=True):
    """All stored versions, the newest first."""

    items: list[VersionRecord]
    next_cursor: str | None = None


class SealedAnswer(Struct, frozen=True):
    """A secret for one recipient: a Fernet token under that recipient's key."""

    name: str
    tenant_id: Id | None
    version: int
    kind: str
    recipient: str
    ciphertext: str


@put(
    "/secrets/{name:str}",
    status_code=200,
    opt={"malformed": "a JSON body in UTF-8 is expected; send other bytes in value_base64"},
)
async def store(
    context: FromCaller,
    name: FromPath[SecretName],
    data: JSONBody[SecretForm] = _NOTHING,
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> SecretRecord:
    """Store a value as the newest version.  It is never shown again."""
    new = NewSecret(
        name=name,
        value=_value(data),
        recipients=None if data.recipients is None else tuple(data.recipients),
        tenant_id=organization(tenant_id),
    )
    return _record(await put_secret(context.rt, context.call, new))


@get("/secrets")
async def list_all(
    context: FromCaller,
    tenant_id: FromQuery[IdOrPlatform | None] = None,
    limit: FromQuery[Limit] = USUAL,
    cursor: FromQuery[Cursor | None] = None,
) -> SecretsAnswer:
    """List secrets: names, versions, fingerprints; never a value."""
    most, after = limit, read_cursor(context.rt, "secrets", cursor)
    found = await read.list_secrets(context.rt, context.call, organization(tenant_id), after, most)
    return SecretsAnswer(
        [_record(one) for one in found],
        next_cursor(context.rt, "secrets", found, most, lambda one: one.secret_id),
    )


@get("/secrets/{name:str}")
async def read_one(
    context: FromCaller,
    name: FromPath[SecretName],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> SecretRecord:
    """Describe one secret."""
    return _record(await read.read_secret(context.rt, context.call, organization(tenant_id), name))


@get("/secrets/{name:str}/versions")
async def versions(
    context: FromCaller,
    name: FromPath[SecretName],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> VersionsAnswer:
    """Describe all stored versions of a secret."""
    found = await read.list_versions(context.rt, context.call, organization(tenant_id), name)
    return VersionsAnswer(
        [
            VersionRecord(
                version=one.version,
                fingerprint=one.fingerprint,
                kind=one.kind,
                mode=one.mode,
                last_four=one.last_four,
                created_at=one.created_at,
                created_by=one.created_by,
                opened_at=one.opened_at,
                opened_by=one.opened_by,
                warning=one.warning,
            )
            for one in found
        ]
    )


@delete("/secrets/{name:str}", status_code=204)
async def remove(
    context: FromCaller,
    name: FromPath[SecretName],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> None:
    """Delete a secret with all its versions."""
    await delete_secret(context.rt, context.call, organization(tenant_id), name)


@delete("/secrets/{name:str}/versions/{version:str}", status_code=204)
async def drop(
    context: FromCaller,
    name: FromPath[SecretName],
    version: FromPath[PathVersion],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
) -> None:
    """Drop an old version."""
    there = organization(tenant_id)
    await drop_version(context.rt, context.call, there, name, int(version))


@get("/secrets/{name:str}/sealed", dependencies={"context": Provide(provide_caller)})
async def sealed(
    context: FromCaller,
    name: FromPath[SecretName],
    tenant_id: FromQuery[IdOrPlatform | None] = None,
    version: FromQuery[Version | None] = None,
) -> SealedAnswer:
    """Return the secret under the calling recipient's key (clients with scope secrets:sealed)."""
    handed = await hand_over(context.rt, context.call, organization(tenant_id), name, version)
    return SealedAnswer(
        name=handed.name,
        tenant_id=str(handed.tenant_id) if handed.tenant_id else None,
        version=handed.version,
        kind=handed.kind,
        recipient=handed.recipient,
        ciphertext=handed.ciphertext,
    )


def _value(data: SecretForm) -> bytes:
    if (data.value is None) == (data.value_base64 is None):
        raise Refused(
            Reason.INVALID_REQUEST,
            "exactly one of value and value_base64 is expected",
            fields=("value", "value_base64"),
        )
    if data.value is not None:
        return data.value.encode()
    try:
        return base64.b64decode(data.value_base64 or "", validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            Reason.INVALID_REQUEST, "base64 is expected (RFC 4648)", fields=("value_base64",)
        ) from None


def _record(secret: Secret) -> SecretRecord:
    return SecretRecord(
        name=secret.name,
        tenant_id=str(secret.tenant_id) if secret.tenant_id else None,
        version=secret.version,
        fingerprint=secret.fingerprint,
        kind=secret.kind,
        mode=secret.mode,
        last_four=secret.last_four,
        recipients=secret.recipients,
        created_at=secret.created_at,
        created_by=secret.created_by,
        opened_at=secret.opened_at,
        opened_by=secret.opened_by,
        warning=secret.warning,
    )


router = Router(
    "/admin",
    route_handlers=[store, list_all, read_one, versions, remove, drop, sealed],
    dependencies={"context": Provide(provide_administrator)},
)
