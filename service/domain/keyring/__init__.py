"""The key ring: signing keys, and the root secret all HMAC keys derive from.

Tables auth_signing_keys, auth_root.
"""

from service.domain.keyring.changes import Killed, kill, publish
from service.domain.keyring.model import Described, Schedule, State, Stored, Usage
from service.domain.keyring.ring import KeyRing
from service.domain.keyring.store import (
    PURPOSE_KEY,
    PURPOSE_ROOT,
    Fresh,
    count_seals,
    find,
    list_all,
    list_sealed_keys,
    lock,
    make_root,
    open_root,
    prune,
    reseal_key,
    reseal_root,
)

__all__ = [
    "PURPOSE_KEY",
    "PURPOSE_ROOT",
    "Described",
    "Fresh",
    "KeyRing",
    "Killed",
    "Schedule",
    "State",
    "Stored",
    "Usage",
    "count_seals",
    "find",
    "kill",
    "list_all",
    "list_sealed_keys",
    "lock",
    "make_root",
    "open_root",
    "prune",
    "publish",
    "reseal_key",
    "reseal_root",
]
