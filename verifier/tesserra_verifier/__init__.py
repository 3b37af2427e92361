"""Checks access tokens of Tesserra Auth, revoked ones included, with no network per request.

A `Verifier` keeps the issuer's keys and its revocations in memory, knows how old that knowledge
is, and follows one rule of your choice when it is too old.  README.md shows it under Litestar,
FastAPI and Starlette.
"""

from tesserra_verifier.apikeys import KEY_PATTERN, KeyClaims
from tesserra_verifier.asgi import VerifierMiddleware
from tesserra_verifier.claims import Claims
from tesserra_verifier.errors import (
    InsufficientScopeError,
    InvalidKeyError,
    InvalidRequestError,
    InvalidTokenError,
    MissingTokenError,
    UnavailableError,
    VerifierError,
)
from tesserra_verifier.secrets import InvalidSecretError, open_secret
from tesserra_verifier.verifier import Rule, Verifier

__all__ = [
    "KEY_PATTERN",
    "Claims",
    "InsufficientScopeError",
    "InvalidKeyError",
    "InvalidRequestError",
    "InvalidSecretError",
    "InvalidTokenError",
    "KeyClaims",
    "MissingTokenError",
    "Rule",
    "UnavailableError",
    "Verifier",
    "VerifierError",
    "VerifierMiddleware",
    "open_secret",
]
