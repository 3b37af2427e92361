"""The policy of a development server: limits so wide that tests of other projects run against it.

Production's defaults (service/policy.py) are not touched by it.
"""

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

_WIDE = {"count": 100_000, "window": 60}
LIMITS = dict.fromkeys(("login", "create", "refresh", "me"), _WIDE)
"""The one home of these limits."""


def write_policy(environment: Mapping[str, str], data: Path) -> dict[str, str]:
    """Write the policy of `./dev serve`, and return the setting that names it.

    What the developer's own file names is theirs.  When that is no policy at all, it is left to
    the service, which says why.
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
    """Write a value as TOML does in line; JSON's strings and numbers are TOML's."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case datetime():
            return value.isoformat()
        case _:
            return json.dumps(value, ensure_ascii=False)
