"""Facts of a deployment, from AUTH_*.  Lifetimes, thresholds and limits are policy instead."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from service.kernel.secret import Secret

PREFIX = "AUTH_"
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:(?P<port>[0-9]{1,5}))?"
)
_BIND = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535
_USUAL_PORTS = {"http": "80", "https": "443"}
_LISTS = ("master_keys", "allowed_origins", "trusted_proxies")


class SettingsError(Exception):
    """A setting is missing, unknown or wrong.  One line names it and never shows its value."""


class Settings(Struct, frozen=True, kw_only=True):
    """One frozen struct.  `repr` shows no secret."""

    issuer: str
    bind: str = "127.0.0.1:8080"
    workers: int = 1
    database_url: Secret
    database_schema: str = "public"
    redis_url: Secret
    master_keys: tuple[Secret, ...]
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    data_dir: Path = Path("data")
    policy_file: Path | None = None
    smtp_url: Secret | None = None
    metrics_bind: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    log_level: str = "info"


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """AUTH_X is a value, AUTH_X_FILE a file that holds it, an unknown AUTH_* a refusal to start."""
    raw: dict[str, object] = {}
    for variable, given in env.items():
        if not variable.startswith(PREFIX):
            continue
        name, value = _read(variable, given)
        if not _is_text(value):
            raise SettingsError(f"{variable} is not UTF-8")
        if name in raw:
            raise SettingsError(f"{PREFIX}{name.upper()} is given twice, directly and as a file")
        raw[name] = _split(value) if name in _LISTS else value
    try:
        settings = msgspec.convert(raw, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        raise SettingsError(_named(exc)) from None
    _check(settings)
    return settings


def _read(variable: str, given: str) -> tuple[str, str]:
    name = variable.removeprefix(PREFIX).lower()
    known = Settings.__struct_fields__ if variable.isupper() else ()
    if name in known:
        return name, given
    stem = name.removesuffix("_file")
    if stem == name or stem not in known:
        raise SettingsError(f"{variable} is not a setting")
    try:
        return stem, Path(given).read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{variable}: the file cannot be read ({type(exc).__name__})") from None


def _is_text(value: str) -> bool:
    """Tell whether it is UTF-8: what is none stands in the environment as half a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _decode(kind: type, value: object) -> object:
    if kind in (Secret, Path) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(kind)


def _named(exc: msgspec.ValidationError) -> str:
    """Name the variable at fault; msgspec's own text may carry the value."""
    if match := re.search(r"at `\$\.(\w+)", str(exc)):
        return f"{PREFIX}{match[1].upper()} has a wrong value"
    if match := re.search(r"missing required field `(\w+)`", str(exc)):
        return f"{PREFIX}{match[1].upper()} is not set"
    return "the settings cannot be read"


def _check(settings: Settings) -> None:
    _check_origin("AUTH_ISSUER", settings.issuer)
    for origin in settings.allowed_origins:
        _check_origin("AUTH_ALLOWED_ORIGINS", origin)
    for network in settings.trusted_proxies:
        try:
            parsed = ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError("AUTH_TRUSTED_PROXIES holds something that is no network") from None
        if parsed.prefixlen == 0:
            raise SettingsError("AUTH_TRUSTED_PROXIES must not trust everyone")
    for name, bind in (("AUTH_BIND", settings.bind), ("AUTH_METRICS_BIND", settings.metrics_bind)):
        match = _BIND.fullmatch(bind) if bind is not None else None
        if bind is not None and (match is None or not _is_port(match["port"])):
            raise SettingsError(f"{name} must be host:port")
    _check_pairs(settings)


def _check_pairs(settings: Settings) -> None:
    if not 1 <= settings.workers <= 64:  # noqa: PLR2004 - a bound against a slip of the finger
        raise SettingsError("AUTH_WORKERS must be between 1 and 64")
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", settings.database_schema):
        raise SettingsError("AUTH_DATABASE_SCHEMA is not a schema name")
    if settings.data_dir == Path():
        raise SettingsError("AUTH_DATA_DIR must name a folder")
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("AUTH_TLS_CERT and AUTH_TLS_KEY go together")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingsError("AUTH_LOG_LEVEL must be debug, info, warning or error")


def _check_origin(name: str, value: str) -> None:
    """RFC 8414 section 2: an issuer is https, no query, no fragment; http only on loopback.

    In the very form browsers send as `Origin` (RFC 6454 section 6.2), since it is compared as text:
    they leave a scheme's own port out.
    """
    match = _ORIGIN.fullmatch(value)
    loopback = match is not None and match["host"] in ("localhost", "127.0.0.1", "[::1]")
    if (
        match is None
        or not _is_port(match["port"])
        or match["port"] == _USUAL_PORTS[match["scheme"]]
        or (match["scheme"] == "http" and not loopback)
    ):
        raise SettingsError(
            f"{name} must be https://host[:port] in lower case, without :443"
            " (http only for localhost)"
        )


def _is_port(text: str | None) -> bool:
    return text is None or (text[0] != "0" and int(text) <= _LAST_PORT)
