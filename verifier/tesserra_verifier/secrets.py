"""Decrypts a secret that the service has handed over (GET /admin/secrets/{name}/sealed)."""

import base64
import json

from cryptography.fernet import Fernet, InvalidToken


class InvalidSecretError(Exception):
    """The key does not decrypt the text, or the text is of another secret."""


def open_secret(key: str, ciphertext: str, name: str, tenant_id: str | None = None) -> bytes:
    """Return the value of an encrypted secret, without any network request.

    `key` is what `secret recipient create` showed; `tenant_id` None: a secret of the platform.
    InvalidSecretError for another key, an altered text, or the text of another secret.
    """
    try:
        told = json.loads(Fernet(key).decrypt(ciphertext))
    except (InvalidToken, ValueError) as exc:
        raise InvalidSecretError("this key does not open it") from exc
    if (told["name"], told["tenant_id"]) != (name, tenant_id):
        raise InvalidSecretError("it is another secret")
    return base64.b64decode(told["value"])
