"""Known devices: browsers from which an account has signed in before.  Table auth_devices."""

from service.domain.devices.store import find, forget_others, insert, prune, touch
from service.domain.devices.token import read, write

__all__ = ["find", "forget_others", "insert", "prune", "read", "touch", "write"]
