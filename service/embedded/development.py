"""The policy of a development server: generous limits, so that tests can run against it.

The defaults for production (service/policy.py) stay as they are.
"""

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

_WIDE = {"count": 100_000, "window": 60}
LIMITS = dict.fromkeys(("login", "create", "refresh", "me"), _WIDE)
"""The rate limits of a development server: sign-in, creation, refresh and `/auth/me`."""


def write_policy(environment: Mapping[str, str], data: Path) -> dict[str, str]:
    """Write the policy file of `./dev serve`, and return the setting that names it.

    Values in the developer's own file (AUTH_POLICY_FILE) are kept.  When that file is not a policy,
    nothing is written, and the service says what is wrong.
    """
    given = environment.get("AUTH_POLICY_FILE", "")
    if "AUTH_POLICY_FILE_FILE" in environment:
        return {}
    try:
        theirs = tomllib.loads(Path(given).read_text()) if given else {}
        policy = {**theirs, "limits": {**LIMITS, **theirs.get("limits", {})}}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError):
        return {}
    text = "# Written by ./dev at each start.  Set AUTH_POLICY_FILE to have a policy of your own.\n"
    lines = (f"{json.dumps(name)} = {_toml(value)}\n" for name, value in policy.items())
    part, file = data / "policy.part", data / "policy.toml"
    part.write_text(text + "".join(lines), encoding="utf-8")
    part.rename(file)
    return {"AUTH_POLICY_FILE": str(file)}


def _toml(value: Any) -> str:
    """Return a value as inline TOML.  Strings and numbers of JSON are valid TOML."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case datetime():
            return value.isoformat()
        case _:
            return json.dumps(value, ensure_ascii=False)
