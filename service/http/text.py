"""Text as it may come in: bounded, and free of control characters."""

from typing import Annotated, TypeAlias

from msgspec import Meta

_CLEAN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"

Line: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200, pattern=_CLEAN)]
Member: TypeAlias = Annotated[str, Meta(max_length=4096, pattern=_CLEAN)]
Email: TypeAlias = Annotated[str, Meta(min_length=1, max_length=320, pattern=_CLEAN)]
Slug: TypeAlias = Annotated[str, Meta(min_length=1, max_length=63, pattern=_CLEAN)]

Password: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
"""Every character counts: it is hashed in NFC and goes nowhere else.

This bound is counted as received.  A new password has 8 to 1024 code points, counted in NFC, which
makes up to four code points one.
"""
