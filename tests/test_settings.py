"""Settings refuse to guess, name the variable at fault, and never show a value."""

import os
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
    with pytest.raises(SettingsError, match=f"^{variable} is not set$"):
        load({k: v for k, v in GIVEN.items() if k != variable})
    for empty in ("", "  "):
        with pytest.raises(SettingsError, match=f"^{variable} is empty$"):
            load({**GIVEN, variable: empty})
    given = {k: v for k, v in GIVEN.items() if k != variable}
    with pytest.raises(SettingsError, match=f"^{variable}_FILE is empty$"):
        load({**given, f"{variable}_FILE": ""})


OPTIONAL = [
    f"AUTH_{field.name.upper()}" for field in msgspec.structs.fields(Settings) if not field.required
]


@pytest.mark.parametrize("variable", OPTIONAL)
def test_an_empty_optional_setting_is_as_unset(variable: str) -> None:
    assert load({**GIVEN, variable: ""}) == load(GIVEN)
    assert load({**GIVEN, f"{variable}_FILE": ""}) == load(GIVEN)


def test_an_empty_variable_does_not_stand_in_the_way_of_its_file(tmp_path: Path) -> None:
    held = tmp_path / "keys"
    held.write_text("4")
    given = {**GIVEN, "AUTH_WORKERS": "", "AUTH_WORKERS_FILE": str(held)}
    assert load(given).workers == 4


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n", "\n\n"])
def test_the_line_end_of_a_file_is_no_part_of_its_value(tmp_path: Path, line_end: str) -> None:
    held = tmp_path / "workers"
    held.write_bytes(b"4" + line_end.encode())
    assert load({**GIVEN, "AUTH_WORKERS_FILE": str(held)}).workers == 4


def test_a_list_in_a_file_may_have_an_element_a_line(tmp_path: Path) -> None:
    held = tmp_path / "proxies"
    held.write_text("10.0.0.0/8,\n192.0.2.0/24\n")
    given = {**GIVEN, "AUTH_TRUSTED_PROXIES_FILE": str(held)}
    assert load(given).trusted_proxies == ("10.0.0.0/8", "192.0.2.0/24")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the file cannot be read \\(there is no such file\\)"),
        ("folder", "the file cannot be read \\(it is a folder\\)"),
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"canary-\xff", "the file cannot be read \\(it is not UTF-8\\)"),
        (b"canary-1\ncanary-2", "the file holds more than one line"),
        (b"canary" * 20_000, "the file cannot be read \\(it is larger than 64 KiB\\)"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_variable(
    tmp_path: Path, content: bytes | str | None, told: str
) -> None:
    held = tmp_path / CANARY
    if content == "folder":
        held.mkdir()
    elif isinstance(content, bytes):
        held.write_bytes(content)
    given = {k: v for k, v in GIVEN.items() if k != "AUTH_REDIS_URL"}
    with pytest.raises(SettingsError, match=f"^AUTH_REDIS_URL_FILE: {told}$") as caught:
        load({**given, "AUTH_REDIS_URL_FILE": str(held)})
    assert "canary" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told_of(tmp_path: Path) -> None:
    held = tmp_path / "keys"
    held.touch(0)
    with pytest.raises(SettingsError, match=r"^AUTH_WORKERS_FILE: .*this user may not read it"):
        load({**GIVEN, "AUTH_WORKERS_FILE": str(held)})


INJECTED = {
    "AUTH_SERVICE_HOST": "10.96.0.17",
    "AUTH_SERVICE_PORT": "8080",
    "AUTH_SERVICE_PORT_HTTP": "8080",
    "AUTH_SERVICE_PORT_METRICS_2": "9090",
    "AUTH_PORT": "tcp://10.96.0.17:8080",
    "AUTH_PORT_8080_TCP": "tcp://10.96.0.17:8080",
    "AUTH_PORT_8080_TCP_PROTO": "tcp",
    "AUTH_PORT_8080_TCP_PORT": "8080",
    "AUTH_PORT_8080_TCP_ADDR": "10.96.0.17",
    "AUTH_PORT_53_UDP": "udp://[fd00::17]:53",
    "AUTH_PORT_53_UDP_PROTO": "udp",
    "AUTH_PORT_53_UDP_ADDR": "fd00::17",
    "AUTH_REDIS_SERVICE_HOST": "10.96.0.18",
    "AUTH_REDIS_PORT": "tcp://10.96.0.18:6379",
    "AUTH_REDIS_PORT_6379_TCP": "tcp://10.96.0.18:6379",
}


def test_what_kubernetes_puts_there_for_a_service_of_that_name_is_ignored() -> None:
    assert load({**GIVEN, **INJECTED}) == load(GIVEN)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTH_PORTS", "tcp://10.96.0.17:8080"),
        ("AUTH_PORT", "8080"),
        ("AUTH_METRICS_PORT", "9090"),
        ("AUTH_SERVICE_HOST", "auth.example"),
        ("AUTH_SERVICE_PORT", "http"),
        ("AUTH_SERVICE_PORTS", "8080"),
        ("AUTH_PORT_8080_TCP", "8080"),
        ("AUTH_PORT_8080_HTTP", "tcp://10.96.0.17:8080"),
        ("AUTH_service_host", "10.96.0.17"),
    ],
)
def test_what_only_looks_like_it_is_not_a_setting(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} is not a setting$"):
        load({**GIVEN, variable: value})


WRONG = {
    "AUTH_WORKERS": ["0", "65", "-1", "many", "1.5"],
    "AUTH_ISSUER": [
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
    "AUTH_METRICS_BIND": ["9090"],
    "AUTH_DATABASE_SCHEMA": ["Public", "a-b", 'x"; DROP', "1a", "a" * 64],
    "AUTH_LOG_LEVEL": ["verbose", "INFO"],
    "AUTH_DATA_DIR": [".", "/srv/\udcff"],
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
