"""Invitations and their tokens."""

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from service.kernel.ids import TenantId, UserId

_TOKEN_BYTES = 32


class Invitation(Struct, frozen=True, kw_only=True):
    """An open invitation: a person with its link may become a member under this e-mail."""

    invitation_id: UUID
    tenant_id: TenantId
    email: str
    role: str
    slug: str
    organization: str


class Open(Struct, frozen=True, kw_only=True):
    """An open invitation, as the administrators of the organization see it."""

    invitation_id: UUID
    tenant_id: TenantId
    email: str
    role: str
    invited_by: UserId | None
    created_at: datetime
    expires_at: datetime


def new_token() -> str:
    """Make the secret half of a link: 256 random bits."""
    return f"tsi_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def digest(token: str) -> bytes:
    """Return the hash that is stored for a token."""
    return hashlib.sha256(token.encode()).digest()
