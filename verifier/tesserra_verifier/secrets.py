"""Opening what the service hands over sealed: GET /admin/secrets/{name}/sealed."""

import base64
import json

from cryptography.fernet import Fernet, InvalidToken


class InvalidSecretError(Exception):
    """This key does not open it, or it is another secret than the one asked for."""


def open_secret(key: str, ciphertext: str, name: str, tenant_id: str | None = None) -> bytes:
    """Return the value of a sealed secret; nothing is asked of the network.

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
