"""API keys: what machines present.  Table auth_api_keys.  Redis is not needed."""

from service.domain.apikeys.known import Held, KnownKeys
from service.domain.apikeys.model import (
    ENDED,
    ApiKey,
    Presented,
    Why,
    read_network,
    secret_mac,
)
from service.domain.apikeys.store import (
    Ended,
    Uses,
    add_uses,
    any_ending,
    delete,
    end_expired,
    erase,
    export_member,
    find,
    insert,
    list_page,
    lock,
    revoke,
    revoke_own,
    succeed,
)
from service.domain.apikeys.tally import MOST_PER_MINUTE, Failure, Tally
from service.domain.apikeys.text import PATTERN, PREFIX, KeyText, new_text, read

__all__ = [
    "ENDED",
    "MOST_PER_MINUTE",
    "PATTERN",
    "PREFIX",
    "ApiKey",
    "Ended",
    "Failure",
    "Held",
    "KeyText",
    "KnownKeys",
    "Presented",
    "Tally",
    "Uses",
    "Why",
    "add_uses",
    "any_ending",
    "delete",
    "end_expired",
    "erase",
    "export_member",
    "find",
    "insert",
    "list_page",
    "lock",
    "new_text",
    "read",
    "read_network",
    "revoke",
    "revoke_own",
    "secret_mac",
    "succeed",
]
