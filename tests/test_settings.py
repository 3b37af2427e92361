"""Settings refuse to guess, name the variable at fault, and never show a value."""

from pathlib import Path

import msgspec
import pytest

from service.settings import Settings, SettingsError, load

CANARY = "canary-5ecret"
GIVEN = {
    "AUTH_ISSUER": "https://auth.example",
    "AUTH_DATABASE_URL": f"postgresql://u:{CANARY}@db/auth",
    "AUTH_REDIS_URL": f"redis://:{CANARY}@cache/0",
    "AUTH_MASTER_KEYS": f"{CANARY}-new, {CANARY}-old",
}


def test_what_is_given_is_read_and_the_rest_has_defaults() -> None:
    settings = load({**GIVEN, "AUTH_WORKERS": "4", "HOME": "/nowhere", "AUTHOR": "me"})
    assert settings.workers == 4
    assert settings.master_keys == (f"{CANARY}-new", f"{CANARY}-old")
    assert settings.bind == "127.0.0.1:8080"
    assert settings.allowed_origins == ()
    assert settings.database_url == f"postgresql://u:{CANARY}@db/auth"


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    held = tmp_path / "keys"
    held.write_text(f"{CANARY}\n")
    given = {k: v for k, v in GIVEN.items() if k != "AUTH_MASTER_KEYS"}
    assert load({**given, "AUTH_MASTER_KEYS_FILE": str(held)}).master_keys == (CANARY,)
    with pytest.raises(SettingsError, match="AUTH_MASTER_KEYS is given twice"):
        load({**GIVEN, "AUTH_MASTER_KEYS_FILE": str(held)})
    with pytest.raises(SettingsError, match="AUTH_MASTER_KEYS_FILE: the file cannot be read"):
        load({**given, "AUTH_MASTER_KEYS_FILE": str(tmp_path / "missing")})


def test_the_setting_that_ends_in_file_is_itself() -> None:
    assert load({**GIVEN, "AUTH_POLICY_FILE": "policy.toml"}).policy_file == Path("policy.toml")


@pytest.mark.parametrize(
    "variable",
    [
        "AUTH_ISUER",
        "AUTH_",
        "AUTH_FILE",
        "AUTH_POLICY",
        "AUTH_ISSUER_FILE_FILE",
        "AUTH_workers",
        "AUTH_WORKERS_file",
    ],
)
def test_an_unknown_setting_refuses_to_start(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} is not a setting$"):
        load({**GIVEN, variable: CANARY})


@pytest.mark.parametrize("variable", GIVEN)
def test_a_missing_setting_is_named(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is not set"):
        load({k: v for k, v in GIVEN.items() if k != variable})


WRONG = {
    "AUTH_WORKERS": ["0", "65", "-1", "many", "1.5", ""],
    "AUTH_ISSUER": [
        "",
        "auth.example",
        "http://auth.example",
        "https://auth.example/",
        "https://auth.example/path",
        "https://auth.example?q",
        "https://auth.example?",
        "https://auth.example#",
        "https://user:pw@auth.example",
        "https://auth.example:0",
        "https://auth.example:99999",
        "https://auth.example:port",
        "https://auth.example:443",
        "https://auth.example:0443",
        "http://localhost:80",
        "https://[::1",
        "https://Auth.Example",
        "https://auth.example\n",
        "https:// auth.example",
        "ftp://localhost",
        "javascript://localhost",
    ],
    "AUTH_ALLOWED_ORIGINS": [
        "*",
        "null",
        "https://a.example,b.example",
        "https://*.example",
        "https://a.example:443",
    ],
    "AUTH_TRUSTED_PROXIES": ["0.0.0.0/0", "::/0", "10.0.0.1/8", "nginx", "10.0.0.0/33"],
    "AUTH_BIND": ["8080", "localhost", "localhost:", "localhost:http", ":80", "h:99999", "h:0"],
    "AUTH_METRICS_BIND": ["", "9090"],
    "AUTH_DATABASE_SCHEMA": ["", "Public", "a-b", 'x"; DROP', "1a", "a" * 64],
    "AUTH_LOG_LEVEL": ["", "verbose", "INFO"],
    "AUTH_DATA_DIR": ["", ".", "/srv/\udcff"],
    "AUTH_SMTP_URL": ["smtp://\udcff"],
    "AUTH_TLS_CERT": ["cert.pem"],
    "AUTH_TLS_KEY": ["key.pem"],
}


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_names_its_variable_and_is_not_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        load({**GIVEN, variable: value})
    assert len(value) < 9 or value not in str(caught.value)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "issuer",
    [
        "https://auth.example",
        "https://auth.example:8443",
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "https://[2001:db8::1]",
    ],
)
def test_a_good_issuer_is_taken(issuer: str) -> None:
    assert load({**GIVEN, "AUTH_ISSUER": issuer}).issuer == issuer


def test_repr_shows_no_secret() -> None:
    settings = load({**GIVEN, "AUTH_SMTP_URL": f"smtp://u:{CANARY}@mail"})
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)
    assert CANARY not in repr(msgspec.structs.asdict(settings))


def test_settings_stay_few() -> None:
    assert len(Settings.__struct_fields__) < 20
