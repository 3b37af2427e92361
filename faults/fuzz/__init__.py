"""Hostile bytes on every route, over real connections; and drift between openapi/ and answers.

Nothing may be a 5xx but 503, nothing may hang, no worker may die, no answer may repeat a token.
"""

from faults.fuzz.bytes import fuzz_bytes
from faults.fuzz.contract import fuzz_contract

__all__ = ["fuzz_bytes", "fuzz_contract"]
