"""The policy of a development server is wide, but for what the developer's own file says."""

from pathlib import Path

import pytest

from service import policy as policies
from service.embedded.development import LIMITS, write_policy
from service.policy import Limit, Limits, Policy, PolicyError

THEIRS = """\
scopes = ["agentes", "proxy-ollama"]
limits.login = {count = 3, window = 60}

[tokens]
refresh_grace = 0
record_every_rotation = true

[security]
contact = "mailto:security@acme.example"
expires = 2030-01-01T00:00:00Z

[links]
invitation = "https://console.example/ünï?\\"😀"

[role_scopes]
owner = ["agentes"]
"""


def loaded(environment: dict[str, str], data: Path) -> Policy:
    return policies.load(Path(write_policy(environment, data)["AUTH_POLICY_FILE"]))


def test_the_four_budgets_are_wide_and_production_s_are_what_they_were(tmp_path: Path) -> None:
    limits = loaded({}, tmp_path).limits
    for name in ("login", "create", "refresh", "me"):
        assert getattr(limits, name).count >= 10_000
    assert limits.key_failures == Limits().key_failures
    assert (Limits().login, Limits().create, Limits().refresh, Limits().me) == (
        Limit(5, 900),
        Limit(30, 60),
        Limit(120, 60),
        Limit(60, 60),
    )


def test_what_the_developer_s_file_names_is_theirs(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(THEIRS)
    found, alone = loaded({"AUTH_POLICY_FILE": str(own)}, tmp_path), policies.load(own)
    assert found.limits.login == Limit(3, 60)
    assert found.limits.me == Limit(**LIMITS["me"])
    for name in ("tokens", "security", "links", "role_scopes", "scopes"):
        assert getattr(found, name) == getattr(alone, name)


@pytest.mark.parametrize("text", ["limits = 3", "[limits", None, "[limits.login]\ncount = 3"])
def test_a_file_that_is_no_policy_is_refused_as_in_production(
    tmp_path: Path, text: str | None
) -> None:
    own = tmp_path / "own.toml"
    if text is not None:
        own.write_text(text)
    environment = {"AUTH_POLICY_FILE": str(own)}
    environment |= write_policy(environment, tmp_path)
    with pytest.raises(PolicyError):
        policies.load(Path(environment["AUTH_POLICY_FILE"]))


def test_an_empty_setting_is_as_none(tmp_path: Path) -> None:
    assert loaded({"AUTH_POLICY_FILE": ""}, tmp_path) == loaded({}, tmp_path)
