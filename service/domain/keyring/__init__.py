"""The key ring: signing keys, and the root secret all HMAC keys derive from.

Tables auth_signing_keys, auth_root.
"""

from service.domain.keyring.changes import Killed, find_pending, kill, publish
from service.domain.keyring.model import Described, State, Stored, Times, Usage
from service.domain.keyring.ring import KeyRing
from service.domain.keyring.store import (
    PURPOSE_KEY,
    PURPOSE_ROOT,
    Fresh,
    count_seals,
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
    "State",
    "Stored",
    "Times",
    "Usage",
    "count_seals",
    "find_pending",
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
