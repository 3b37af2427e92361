"""Access tokens: JWTs by RFC 9068.  There is no table: the signature proves a token."""

from service.domain.tokens.model import Claims
from service.domain.tokens.verification import Tokens

__all__ = ["Claims", "Tokens"]
