"""Access tokens: JWTs after RFC 9068.  No table: a token is its signature."""

from service.domain.tokens.model import Claims
from service.domain.tokens.verification import Tokens

__all__ = ["Claims", "Tokens"]
