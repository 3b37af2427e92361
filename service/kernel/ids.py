"""Identifiers: UUIDv7 (RFC 9562 section 5.7), one type per thing.  Never a secret."""

from datetime import datetime
from typing import NewType
from uuid import UUID

import uuid_utils

TenantId = NewType("TenantId", UUID)
"""The organization a thing belongs to; `tenant_id` on the wire."""

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
DeviceId = NewType("DeviceId", UUID)
EventId = NewType("EventId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)


def new(at: datetime) -> UUID:
    """Make an id that sorts by `at`, so that keyset pages follow time."""
    nanoseconds = int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000
    return UUID(int=uuid_utils.uuid7(nanoseconds=nanoseconds).int)
