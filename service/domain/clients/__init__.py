"""OAuth clients: services with a name, a secret or a key, and scopes.  Table auth_clients."""

from service.domain.clients.assertion import AssertionRefusedError, check_assertion
from service.domain.clients.known import KnownClients
from service.domain.clients.model import Client, new_secret, secret_mac
from service.domain.clients.store import find, insert

__all__ = [
    "AssertionRefusedError",
    "Client",
    "KnownClients",
    "check_assertion",
    "find",
    "insert",
    "new_secret",
    "secret_mac",
]
