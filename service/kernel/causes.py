"""Why PostgreSQL or Redis cannot be used, in words that help and reveal nothing of its URL.

A server's own error text may repeat names, passwords or hosts, and may be in any language.  So the
only part of it that is ever repeated is the name of a parameter.
"""

import os
import re
import ssl
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import redis.exceptions

_FILES = ("sslrootcert", "sslcrl", "sslcert", "sslkey")
_QUOTED = re.compile(r"[\"“«„'`]\s*([a-zA-Z_][\w.]{0,62})\s*[\"”»“'`]")
_NAMES_ONE = re.compile(r": ([a-z_][a-z0-9_.]{0,62})$", re.IGNORECASE)


def tls(exc: BaseException) -> str | None:
    """Return what failed about TLS; None when the failure is another one."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        match exc.verify_code:  # X509_V_ERR_*, openssl/x509_vfy.h
            case 62 | 64:
                return "the server's certificate is for another host name"
            case 9 | 10:
                return "the server's certificate is not valid at this time"
            case 2 | 18 | 19 | 20 | 21:
                return "the server's certificate is of an authority that is not trusted here"
            case _:
                return "the server's certificate cannot be trusted"
    if isinstance(exc, ssl.SSLError):
        if "ALERT" in (exc.reason or ""):
            return "the server ended the TLS handshake (does it want a client certificate?)"
        return "the server does not speak TLS there, or another version of it"
    return None


def network(exc: BaseException) -> str | None:
    """Return what failed before the protocol began; None when the failure is another one."""
    match exc:
        case TimeoutError():
            return "the server does not answer in time"
        case ConnectionRefusedError():
            return "nothing listens at this address"
        case FileNotFoundError():
            return "there is no socket at this path"
        case PermissionError():
            return "this user may not open the socket"
        case ConnectionError():
            return "the connection was closed before it was ready"
        case OSError() if type(exc).__name__ == "gaierror":
            return "the host name is unknown"
        case OSError():
            told = os.strerror(exc.errno) if exc.errno else "network"
            return f"the server cannot be reached ({told})"
        case _:
            return None


def postgres_url(exc: BaseException, url: str) -> str:
    """Return what is wrong with a PostgreSQL URL that cannot be parsed."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
    except ValueError:
        return _NO_POSTGRES_URL
    if parts.scheme not in ("postgresql", "postgres"):
        return _NO_POSTGRES_URL
    if "@" in parts.path + parts.query + parts.fragment and "@" not in parts.netloc:
        return "what stands in the URL's name or password must be percent-encoded: / ? # @ : %"
    return _unreadable_file(query) or _wrong_choice(exc) or _NO_POSTGRES_URL


def _unreadable_file(query: dict[str, str]) -> str | None:
    for name in _FILES:
        if name in query:
            try:
                Path(query[name]).open("rb").close()
            except (OSError, ValueError) as exc:
                told = exc.strerror if isinstance(exc, OSError) else "no path"
                return f"the file of {name} cannot be read ({told})"
    return None


def _wrong_choice(exc: BaseException) -> str | None:
    told = str(exc)
    if "root certificate file" in told:
        return (
            "sslmode verify-ca and verify-full need the authority's certificate: sslrootcert=FILE"
        )
    if "sslmode" in told:
        return "sslmode must be disable, allow, prefer, require, verify-ca or verify-full"
    if "target_session_attrs" in told or "SessionAttribute" in told:
        return "target_session_attrs must be primary or read-write"
    if isinstance(exc, ssl.SSLError):
        return "sslrootcert, sslcrl, sslcert or sslkey is no certificate or key that can be used"
    return None


_NO_POSTGRES_URL = "not a PostgreSQL URL (postgresql://user:password@host:port/database)"


def postgres(exc: BaseException, url: str) -> str:
    """Return why PostgreSQL, or a pooler in front of it, refuses the connection or ended it."""
    if told := tls(exc):
        return told
    if isinstance(exc, ConnectionError) and "rejected SSL upgrade" in str(exc):
        return "the server does not speak TLS, and sslmode demands it"
    if told := network(exc):
        return told
    for kinds, told in _POSTGRES:
        if isinstance(exc, kinds):
            return told
    if isinstance(exc, asyncpg.InvalidAuthorizationSpecificationError):
        return _not_let_in(exc)
    if isinstance(exc, asyncpg.ProtocolViolationError):
        return _by_pooler(exc)
    if isinstance(exc, asyncpg.UndefinedObjectError | asyncpg.CantChangeRuntimeParamError):
        return f"a parameter is unknown to the server{_named(exc, url)}"
    if isinstance(exc, asyncpg.DataError | asyncpg.InvalidParameterValueError):
        return f"a parameter has a value the server does not take{_named(exc, url)}"
    return f"PostgreSQL cannot be used ({type(exc).__name__})"


_POSTGRES: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.InvalidPasswordError, "the password is wrong, or there is no such role"),
    (asyncpg.InvalidCatalogNameError, "there is no such database"),
    (asyncpg.TooManyConnectionsError, "the server has too many connections already"),
    (asyncpg.CannotConnectNowError, "the server is starting up or shutting down"),
    (
        asyncpg.TargetServerAttributeNotMatched,
        "no host takes writes: each is a standby, or default_transaction_read_only is on",
    ),
    (
        asyncpg.InsufficientPrivilegeError,
        "the role lacks a privilege (`tesserra-auth migrate --grant-to ROLE`, as the owner)",
    ),
    (
        asyncpg.UndefinedFileError,
        "session_preload_libraries or local_preload_libraries names a library that is not there",
    ),
    (asyncpg.ConnectionDoesNotExistError, "the connection was closed: is it a PostgreSQL?"),
)


def _not_let_in(exc: asyncpg.PostgresError) -> str:
    """Return the cause by the server function that refused: the text may be in any language."""
    if getattr(exc, "server_source_function", "") == "ClientAuthentication":
        return "pg_hba.conf does not let this role in from here (or not without, or with, TLS)"
    return "there is no such role, or it may not sign in"


def _by_pooler(exc: asyncpg.PostgresError) -> str:
    """Return the cause by the pooler's text: PgBouncer has one error code and English texts."""
    told = str(exc).lower()
    if "startup parameter" in told:
        name = _NAMES_ONE.search(str(exc).strip())
        which = f" {name[1]}" if name else ""
        return (
            f"the pooler does not know a parameter of the URL{which}: leave it out, or list it in"
            " the pooler's ignore_startup_parameters"
        )
    for words, cause in _POOLER:
        if words in told:
            return cause
    return "a pooler refuses the connection, or it is no PostgreSQL"


_POOLER = (
    ("no such database", "the pooler knows no such database"),
    ("no such user", "the pooler knows no such role"),
    ("password", "the password is wrong, or there is no such role"),
    ("authentication", "the password is wrong, or there is no such role"),
    ("no more connections", "the pooler has too many connections already"),
    ("max_client_conn", "the pooler has too many connections already"),
    ("query_wait_timeout", "the pooler has no connection to the server left"),
    ("login", "the pooler cannot sign in to the server"),
    ("server", "the pooler cannot reach the server"),
)


def _named(exc: BaseException, url: str) -> str:
    """Return `: NAME in the URL`, or "".  Other quoted words may be values and are not repeated."""
    try:
        given = dict(parse_qsl(urlsplit(url).query))
    except ValueError:
        return ""
    for name in _QUOTED.findall(str(exc)):
        if name in given:
            return f": {name} in the URL"
    return ""


def redis_url(exc: BaseException) -> str:
    """Return what is wrong with a Redis URL that cannot be parsed."""
    if isinstance(exc, OSError):
        return "a file that the URL names cannot be read"
    return "not a Redis URL (redis://user:password@host:port/0, or rediss:// for TLS)"


def denied(exc: BaseException) -> str | None:
    """Return what the Redis user may not do; None when the failure is another one."""
    told = str(exc)
    if "executing the script can't run" in told:
        return "the user may not use a command of the service's scripts"
    if not isinstance(exc, redis.exceptions.NoPermissionError) and "permission" not in told:
        return None
    if named := re.search(r"run the '([a-z|]+)' command", told):
        return f"the user may not use the command {named[1]}"
    if "key" in told:
        return "the user may not use the keys tesserra:*"
    return "the user lacks a permission"


def cache(exc: BaseException) -> str:
    """Return why Redis cannot be used."""
    chain = [exc]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) and deeper not in chain:
        chain.append(deeper)
    told = str(exc)
    causes = [
        *(tls(one) or denied(one) for one in chain),
        *(cause for words, cause in _REDIS if words in told),
        *(_redis_network(one) for one in reversed(chain) if isinstance(one, OSError)),
        *(cause for kind, cause in _REDIS_KINDS if isinstance(exc, kind)),
    ]
    return next(filter(None, causes), f"Redis cannot be used ({type(exc).__name__})")


def _redis_network(exc: OSError) -> str | None:
    if isinstance(exc, FileNotFoundError):
        return "a socket or a file of the URL (ssl_ca_certs, ssl_certfile) is not there"
    return None if isinstance(exc, ConnectionResetError) else network(exc)


_REDIS = (
    ("Authentication required", "a password is needed"),
    ("already authenticated", "a password is needed"),
    ("DB index is out of range", "there is no database of this number"),
    ("nvalid Database", "there is no database of this number"),
    ("max number of clients", "the server has too many connections already"),
    ("OOM", "the server's memory is full"),
    ("loading", "the server is loading its data"),
    ("read only replica", "the server is a replica"),
    ("MOVED", "the server is a node of a cluster"),
    ("without any password", "a password is given, and the server has none"),
)
_REDIS_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (
        redis.exceptions.AuthenticationError,
        "the password is wrong, or the user is unknown or off",
    ),
    (redis.exceptions.TimeoutError, "the server does not answer in time"),
    (
        redis.exceptions.ConnectionError,
        "the connection was closed: is it Redis, and without TLS (rediss:// for TLS)?",
    ),
)
