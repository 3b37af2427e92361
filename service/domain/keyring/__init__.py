"""The key ring: signing keys, and the root secret all HMAC keys derive from.

Tables auth_signing_keys, auth_root.
"""

from service.domain.keyring.model import Stored, Usage
from service.domain.keyring.ring import KeyRing
from service.domain.keyring.store import make_root, open_root

__all__ = ["KeyRing", "Stored", "Usage", "make_root", "open_root"]
