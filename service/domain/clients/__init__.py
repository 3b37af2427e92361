"""OAuth clients: applications and services, public or confidential.  Table auth_clients.

What a client is, what its addresses may be, how it is authenticated, and what a worker remembers.
"""

from service.domain.clients import uris
from service.domain.clients.assertion import AssertionRefusedError, check_assertion
from service.domain.clients.known import BELIEVED, Known, KnownClients
from service.domain.clients.model import (
    CONSOLE,
    AuthMethod,
    Client,
    GrantType,
    IdTokenAlgorithm,
    Profile,
    new_secret,
    secret_mac,
)
from service.domain.clients.store import (
    change,
    delete,
    find,
    find_enabled,
    insert,
    list_page,
    lock,
    replace_secret,
    set_disabled,
)

__all__ = [
    "BELIEVED",
    "CONSOLE",
    "AssertionRefusedError",
    "AuthMethod",
    "Client",
    "GrantType",
    "IdTokenAlgorithm",
    "Known",
    "KnownClients",
    "Profile",
    "change",
    "check_assertion",
    "delete",
    "find",
    "find_enabled",
    "insert",
    "list_page",
    "lock",
    "new_secret",
    "replace_secret",
    "secret_mac",
    "set_disabled",
    "uris",
]
