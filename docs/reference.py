"""docs/reference/: what the code says of settings, policy, commands, permissions, events, metrics.

`./dev docs --reference` writes the pages, `./dev check` compares them.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import IntType, StrType, StructType, type_info
from prometheus_client.metrics import MetricWrapperBase

from service.cli import main as commands
from service.domain.audit import events
from service.domain.users import ROLES as EVERY_ROLE
from service.flows.shared.permissions import (
    KEY_SCOPES,
    MANAGEMENT_SCOPES,
    OF_THE_PLATFORM,
    ROLES,
    Permission,
    Scope,
)
from service.kernel import metrics
from service.policy import Limit, Policy, TokenOverrides
from service.settings import PREFIX, Settings

FOLDER = Path(__file__).parent
COMMAND = "./dev docs --reference"
_MARK = f"<!-- Written by `{COMMAND}` from the code. -->"
_DECISION = re.compile(r"# (?P<title>.+)\n\n(?P<day>\d{4}-\d\d-\d\d)\n")


def write() -> int:
    """Write every page; return the exit status."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(f"Wrote {path.relative_to(FOLDER.parent)}.")
    return 0


def stale() -> list[Path]:
    """Return the pages that are not what the code says."""
    return [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def pages() -> dict[Path, str]:
    """Return the text of every page."""
    made = {
        "reference/settings.md": settings(),
        "reference/policy.md": policy(),
        "reference/commands.md": command_line(),
        "reference/permissions.md": permissions(),
        "reference/events.md": audit_events(),
        "reference/metrics.md": figures(),
        "decisions/README.md": decisions(),
    }
    return {FOLDER / name: f"{_MARK}\n\n{text.strip()}\n" for name, text in made.items()}


# --- settings and policy ----------------------------------------------------------------------


def settings() -> str:
    """Return the page of AUTH_*."""
    said = field_docs(Settings)
    lines = []
    for field in msgspec.structs.fields(Settings):
        default = "required" if field.required else _value(field.default)
        lines.append(f"| `{PREFIX}{field.name.upper()}` | {default} | {said[field.name]} |")
    return _page(
        "Settings",
        """
        Settings are facts of a deployment. They are environment variables, read once at the start.
        Lifetimes, thresholds and limits are [policy](policy.md).

        - Each setting `AUTH_X` may be given as `AUTH_X_FILE` instead: a file that holds the value.
        - An unknown `AUTH_*` refuses to start. What Kubernetes puts into a pod for a Service named
          `auth` (`AUTH_SERVICE_HOST`, `AUTH_PORT_8080_TCP` and so on) is ignored.
        - An empty variable counts as not set.
        - Lists are separated by commas or line breaks.
        - An error names the setting and the cause, and never shows the value.
        """,
        ["| setting | default | what |", "|---|---|---|", *lines],
    )


def policy() -> str:
    """Return the page of the policy file."""
    parts: list[str] = []
    alone: list[str] = []
    overrides = ", ".join(f"`{name}`" for name in TokenOverrides.__struct_fields__)
    said = field_docs(Policy)
    for field in _fields(Policy):
        if isinstance(field.type, StructType):
            parts += ["", f"## `[{field.encode_name}]`", "", _prose(field.type.cls), ""]
            parts += [*_HEAD, *_rows(field.type.cls)]
        else:
            default = f"`{_toml(_default(field))}`"
            alone.append(f"| `{field.encode_name}` | {default} | | {said[field.encode_name]} |")
    return _page(
        "Policy",
        f"""
        Policy is a TOML file that `AUTH_POLICY_FILE` names. Every field has a default, so the file
        holds only what you change. An unknown field or a value out of bounds refuses to start.
        Durations are seconds.

            scopes = ["orders:read", "orders:write"]

            [tokens]
            access_token_ttl = 600

            [limits]
            login = {{count = 10, window = 900}}

            [role_scopes]
            owner = ["orders:read", "orders:write"]
            member = ["orders:read"]

        Some fields of `[tokens]` can be set for a single organization as well
        (`PUT /admin/organizations/{{tenant_id}}`):
        {overrides}.
        """,
        ["## At the top", "", *_HEAD, *alone, *parts],
    )


_HEAD = ("| field | default | bounds | what |", "|---|---|---|---|")


def _rows(kind: type[Struct]) -> Iterator[str]:
    said = field_docs(kind)
    for field in _fields(kind):
        default = f"`{_toml(_default(field))}`"
        name = field.encode_name
        yield f"| `{name}` | {default} | {_bounds(field.type)} | {said[name]} |"


def _fields(kind: type[Struct]) -> Sequence[msgspec.inspect.Field]:
    found = type_info(kind)
    assert isinstance(found, StructType)  # noqa: S101 - for the type checker
    return found.fields


def _default(field: msgspec.inspect.Field) -> Any:
    return field.default if field.default is not NODEFAULT else field.default_factory()


def _bounds(kind: msgspec.inspect.Type) -> str:
    """Return what a value must be."""
    match kind:
        case IntType():
            return f"{kind.ge:,} to {kind.le:,}"
        case StrType() if kind.max_length:
            return f"{kind.max_length:,} characters"
        case msgspec.inspect.LiteralType():
            return ", ".join(f"`{one}`" for one in kind.values)
        case StructType() if kind.cls is Limit:
            bounds = {one.encode_name: _bounds(one.type) for one in kind.fields}
            return ", ".join(f"{name} {bound}" for name, bound in bounds.items())
    return ""


def _toml(value: Any) -> str:
    """Write a default as the file would have it."""
    match value:
        case None:
            return "not set"
        case bool():
            return str(value).lower()
        case int():
            return f"{value}"
        case str():
            return f'"{value}"'
        case Struct():
            return _toml({name: getattr(value, name) for name in value.__struct_fields__})
        case Mapping():
            return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    return "[" + ", ".join(map(_toml, value)) + "]"


def _value(default: object) -> str:
    if default is None or default == ():
        return "not set"
    return f"`{default}`"


def field_docs(kind: type[Struct]) -> dict[str, str]:
    """Return what stands below each field of a struct, as one line of Markdown.

    KeyError in whoever asks for a field of which nothing is said.
    """
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101 - for the type checker
    said = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            said[before.target.id] = _cell(str(after.value.value))
    return said


# --- commands ---------------------------------------------------------------------------------


def command_line() -> str:
    """Return the page of the commands."""
    parts: list[str] = []
    for path, command in _walk("tesserra-auth", commands):
        if isinstance(command, click.Group):
            continue
        context = click.Context(command, info_name=path, terminal_width=80, max_content_width=80)
        parts += [f"## `{path.removeprefix('tesserra-auth ')}`", "", "```text"]
        parts += [command.get_help(context), "```", ""]
    return _page(
        "Commands",
        """
        `tesserra-auth` is `python -m service`. In a checkout, `./dev cli` runs the same commands
        against the servers of `./dev serve`. Every command has `--help`, and those that print or
        change something have `--json`. They read the same [settings](settings.md) as the service.

        The exit status is 0 if it worked, 1 if it was refused or failed, and 2 if the command line
        itself was wrong.
        """,
        parts,
    )


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _walk(f"{path} {name}", command.commands[name])


# --- permissions ------------------------------------------------------------------------------

_SCOPES = {
    Scope.READ_REVOCATIONS: "read the revocation feed",
    Scope.VERIFY_API_KEYS: "check API keys",
    Scope.OPEN_SECRETS: "be handed the secrets that are assigned to it",
}


def permissions() -> str:
    """Return the page of what roles and scopes allow."""
    lines = [f"| permission | {' | '.join(EVERY_ROLE)} | scope of a machine |"]
    lines.append("|---" * (len(EVERY_ROLE) + 2) + "|")
    scopes = {permission: f"`{scope}`" for scope, permission in MANAGEMENT_SCOPES.items()}
    for one in sorted(Permission, key=lambda permission: permission.value):
        marks = ["yes" if role in ROLES[one] else "" for role in EVERY_ROLE]
        scope = scopes.get(one, "")
        if scope and one in OF_THE_PLATFORM:
            scope += ", of the platform only"
        lines.append(f"| `{one}` | {' | '.join(marks)} | {scope} |")
    lines += ["", "## Scopes of the service itself", ""]
    lines += ["| scope | allows a client to | an API key may have it |", "|---|---|---|"]
    for each in Scope:
        lines.append(f"| `{each}` | {_SCOPES[each]} | {'yes' if each in KEY_SCOPES else ''} |")
    return _page(
        "Permissions",
        """
        A permission says what somebody may administer. A person has the permissions of their role,
        in the organization that the access token names. A platform administrator has every
        permission in every organization.

        A scope says what a token may do. A machine administers by management scopes, which are
        named after permissions. A client of an organization administers that organization; a client
        of the platform, every one. An API key administers nothing.
        """,
        lines,
    )


# --- events and metrics -----------------------------------------------------------------------


def audit_events() -> str:
    """Return the page of the catalogue of events."""
    shared = set(events.Event.__struct_fields__)
    lines = []
    for kind in sorted(_kinds(events.Event), key=lambda one: str(one.__struct_config__.tag)):
        detail = [f"`{name}`" for name in kind.__struct_fields__ if name not in shared]
        tag = kind.__struct_config__.tag
        lines.append(f"| `{tag}` | {_prose(kind)} | {', '.join(detail)} |")
    return _page(
        "Audit events",
        """
        Every act leaves one event, in the transaction of the act. Each event has its time, the
        organization, the person and the session it concerns, who acted, from which address and with
        which agent, and the id of the request. `detail` holds the rest.
        [The audit trail](../explain/audit.md) says how to read, export and verify them.

        If a platform administrator acts in an organization that is not theirs, `detail` has
        `crossing_from`: the organization they came from, or `platform` for a client of the
        platform. Names in brackets are those of OWASP's logging vocabulary.
        """,
        ["| type | what happened | detail |", "|---|---|---|", *lines],
    )


def _kinds(kind: type[events.Event]) -> Iterator[type[events.Event]]:
    for one in kind.__subclasses__():
        yield one
        yield from _kinds(one)


def figures() -> str:
    """Return the page of the metrics."""
    lines = []
    for name, one in _metrics():
        labels = ", ".join(f"`{label}`" for label in one._labelnames)  # noqa: SLF001 - no other way
        lines.append(f"| `{name}` | {one._type} | {one._documentation} | {labels} |")  # noqa: SLF001
    return _page(
        "Metrics",
        """
        Metrics are for Prometheus, at `/metrics` of `AUTH_METRICS_BIND`. The numbers of all workers
        are added up. No organization, person or client is ever a label.
        """,
        ["| metric | type | what | labels |", "|---|---|---|---|", *lines],
    )


def _metrics() -> Iterator[tuple[str, MetricWrapperBase]]:
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            suffix = "_total" if one._type == "counter" else ""  # noqa: SLF001 - as it is exposed
            yield f"{one._name}{suffix}", one  # noqa: SLF001


# --- decisions --------------------------------------------------------------------------------


def decisions() -> str:
    """Return the list of decisions, the oldest first.  ValueError for a file of another form."""
    lines = []
    for path in sorted((FOLDER / "decisions").glob("*.md")):
        if path.name == "README.md":
            continue
        head = _DECISION.match(path.read_text(encoding="utf-8"))
        if head is None or not path.name.startswith(head["day"]):
            raise ValueError(f"{path.name} must begin with `# Title` and the day of its name")
        lines.append(f"| {head['day']} | [{head['title']}]({path.name}) |")
    return _page(
        "Decisions",
        f"""
        One file for each decision: its context, what was decided, the consequence, and what was
        turned down. A decision that is replaced stays, and says by which. Name a new file
        `YYYY-MM-DD-what-was-decided.md`, begin it as the others begin, and run `{COMMAND}`.
        """,
        ["| day | decision |", "|---|---|", *lines],
    )


# --- Markdown ---------------------------------------------------------------------------------


def _page(title: str, introduction: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", inspect.cleandoc(introduction), "", *lines])


def _prose(kind: type) -> str:
    """Return a docstring as one line of Markdown."""
    return _cell(kind.__doc__ or "")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")
