"""The settings of a deployment, from AUTH_*.  Lifetimes and limits are in the policy instead."""

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
_LARGEST_FILE = 64 * 1024

_IP = r"[0-9a-fA-F:.]+"
_PROTOCOL = r"(?:TCP|UDP|SCTP)"
_INJECTED = tuple(
    (re.compile(rf"AUTH_(?:[A-Z0-9_]+_)?{name}"), re.compile(value))
    for name, value in (
        (r"SERVICE_HOST", _IP),
        (r"SERVICE_PORT(?:_[A-Z0-9_]+)?", r"[0-9]{1,5}"),
        (r"PORT", rf"(?:tcp|udp|sctp)://\[?{_IP}\]?:[0-9]{{1,5}}"),
        (rf"PORT_[0-9]+_{_PROTOCOL}", rf"(?:tcp|udp|sctp)://\[?{_IP}\]?:[0-9]{{1,5}}"),
        (rf"PORT_[0-9]+_{_PROTOCOL}_PROTO", r"tcp|udp|sctp"),
        (rf"PORT_[0-9]+_{_PROTOCOL}_PORT", r"[0-9]{1,5}"),
        (rf"PORT_[0-9]+_{_PROTOCOL}_ADDR", _IP),
    )
)
"""Variables that Kubernetes puts into every pod for a Service named `auth` or `auth-...`.  See
"Service", "Environment variables" in its documentation."""


class SettingsError(Exception):
    """A setting is missing, unknown or wrong.  One line names it and never shows its value."""


class Settings(Struct, frozen=True, kw_only=True):
    """One frozen struct.  `repr` shows no secret.  docs/reference/settings.md is made from it."""

    issuer: str
    """The public origin, `https://auth.example`.  It is in every token and never taken from a
    request.  `http` is allowed for localhost only."""
    bind: str = "127.0.0.1:8080"
    """Address and port to listen on."""
    workers: int = 1
    """Worker processes, 1 to 64."""
    database_url: Secret
    """PostgreSQL 15 or newer, encoding UTF8.  Several hosts may be named
    (`host1:5432,host2:5432`): the first that answers and takes writes is used."""
    database_schema: str = "public"
    """A schema of its own for each deployment."""
    redis_url: Secret
    """Redis 7.0 or newer, or Valkey; `rediss://` for TLS."""
    master_keys: tuple[Secret, ...]
    """Fernet keys, the newest first.  If they are lost, everything they sealed is lost."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of pages that may call the API.  They must be same-site with the issuer
    (`app.example.com` for `auth.example.com`), or browsers send no cookie: sign-in works and
    refresh does not.  `serve` warns where that is certain.  Their pages may send any header."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-For` is believed, read from right to left; a port after an
    address is ignored.  The log warns of a proxy that sends no address: everybody behind it shares
    one limit."""
    data_dir: Path = Path("data")
    """The folders of organizations: logos and exports."""
    policy_file: Path | None = None
    """TOML: lifetimes, thresholds and limits."""
    smtp_url: Secret | None = None
    """`smtps://user:password@host`.  Without it, the secret `smtp.url` of the vault is used, and
    without that the links of invitations are shown once instead of mailed."""
    metrics_bind: str | None = None
    """Address and port for Prometheus, on a listener of its own.  Without it there is none."""
    tls_cert: Path | None = None
    """The certificate chain, to end TLS in the service (1.2 and newer, HTTP/2).  Read again on
    SIGHUP."""
    tls_key: Path | None = None
    """The certificate's private key, PKCS#8.  `AUTH_TLS_CERT` and this one go together."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""


_REQUIRED = tuple(field.name for field in msgspec.structs.fields(Settings) if field.required)


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.  AUTH_X is a value; AUTH_X_FILE names a file with the value.

    An empty variable counts as not set.  SettingsError, also for an unknown AUTH_*.
    """
    raw: dict[str, object] = {}
    empty: dict[str, str] = {}
    for variable, given in env.items():
        if not variable.startswith(PREFIX) or _is_injected(variable, given):
            continue
        name, from_file = _known(variable)
        if not given.strip():
            empty[name] = variable
            continue
        value = _read_file(variable, name, given) if from_file else given
        if not _is_text(value):
            raise SettingsError(f"{variable} is not UTF-8")
        if name in raw:
            raise SettingsError(f"{PREFIX}{name.upper()} is given twice, directly and as a file")
        raw[name] = _split(value) if name in _LISTS else value
    for name in _REQUIRED:
        if not raw.get(name):
            told = "empty" if name in raw or name in empty else "not set"
            raise SettingsError(f"{empty.get(name, PREFIX + name.upper())} is {told}")
    try:
        settings = msgspec.convert(raw, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        raise SettingsError(_named(exc)) from None
    _check(settings)
    return settings


def _is_injected(variable: str, value: str) -> bool:
    """Whether Kubernetes set this variable.  The value is checked too, so that typos are found."""
    return any(name.fullmatch(variable) and form.fullmatch(value) for name, form in _INJECTED)


def _known(variable: str) -> tuple[str, bool]:
    """Return the name of a variable's setting, and whether the variable names a file."""
    name = variable.removeprefix(PREFIX).lower()
    known = Settings.__struct_fields__ if variable.isupper() else ()
    if name in known:
        return name, False
    stem = name.removesuffix("_file")
    if stem == name or stem not in known:
        raise SettingsError(f"{variable} is not a setting")
    return stem, True


def _read_file(variable: str, name: str, path: str) -> str:
    """Return the content of a file, without surrounding blanks and line ends."""
    try:
        with Path(path).open("rb") as file:
            held = file.read(_LARGEST_FILE + 1)
        text = held.decode().strip()
    except FileNotFoundError:
        why = "there is no such file"
    except PermissionError:
        why = "this user may not read it"
    except IsADirectoryError:
        why = "it is a folder"
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except OSError as exc:
        why = exc.strerror or type(exc).__name__
    else:
        if len(held) > _LARGEST_FILE:
            why = f"it is larger than {_LARGEST_FILE // 1024} KiB"
        elif not text:
            raise SettingsError(f"{variable}: the file is empty")
        elif len(text.splitlines()) > 1 and name not in _LISTS:
            raise SettingsError(f"{variable}: the file holds more than one line")
        else:
            return text
    raise SettingsError(f"{variable}: the file cannot be read ({why})")


def _is_text(value: str) -> bool:
    """Whether a value is UTF-8.  Python reads other bytes as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _split(value: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]


def _decode(kind: type, value: object) -> object:
    if kind in (Secret, Path) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(kind)


def _named(exc: msgspec.ValidationError) -> str:
    """Return an error text that names the variable.  msgspec's own text may contain the value."""
    if match := re.search(r"at `\$\.(\w+)", str(exc)):
        return f"{PREFIX}{match[1].upper()} has a wrong value"
    return "the settings cannot be read"


def _check(settings: Settings) -> None:
    _check_origin("AUTH_ISSUER", settings.issuer)
    for origin in settings.allowed_origins:
        _check_origin("AUTH_ALLOWED_ORIGINS", origin)
    for network in settings.trusted_proxies:
        try:
            parsed = ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError("AUTH_TRUSTED_PROXIES must list addresses or networks") from None
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
    """Check an origin: https, or http on loopback, without path, query or fragment.

    For the issuer: RFC 8414 section 2.  It must have the form that browsers send as `Origin` (RFC
    6454 section 6.2), without the scheme's default port, because it is compared as text.
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
