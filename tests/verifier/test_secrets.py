"""Opening a sealed secret: with its recipient's key, as the secret it is, or not at all."""

import base64
import json

import pytest
from cryptography.fernet import Fernet
from tesserra_verifier import InvalidSecretError, open_secret

KEY, OTHER = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def sealed(name: str = "db", tenant_id: str | None = None, value: bytes = b"\x00\xffvalue") -> str:
    told = {
        "recipient": "billing",
        "tenant_id": tenant_id,
        "name": name,
        "version": 1,
        "value": base64.b64encode(value).decode(),
    }
    return Fernet(KEY).encrypt(json.dumps(told).encode()).decode()


def test_it_opens_under_its_key_as_what_it_is() -> None:
    assert open_secret(KEY, sealed(), "db") == b"\x00\xffvalue"
    assert open_secret(KEY, sealed(tenant_id="acme"), "db", "acme") == b"\x00\xffvalue"


@pytest.mark.parametrize(
    ("key", "text", "name", "tenant_id"),
    [
        (OTHER, sealed(), "db", None),
        (KEY, sealed()[:-4], "db", None),
        (KEY, sealed()[:40] + "A" + sealed()[41:], "db", None),
        (KEY, "", "db", None),
        (KEY, "ü", "db", None),
        ("no key", sealed(), "db", None),
        (KEY, sealed(), "other", None),
        (KEY, sealed(), "db", "acme"),
        (KEY, sealed(tenant_id="acme"), "db", None),
        (KEY, Fernet(KEY).encrypt(b"not json").decode(), "db", None),
    ],
    ids=[
        "another-key",
        "truncated",
        "changed",
        "empty",
        "not-ascii",
        "no-key",
        "another-name",
        "none-as-acme",
        "acme-as-none",
        "no-envelope",
    ],
)
def test_anything_else_is_refused(key: str, text: str, name: str, tenant_id: str | None) -> None:
    with pytest.raises(InvalidSecretError):
        open_secret(key, text, name, tenant_id)
