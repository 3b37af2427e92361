"""The policy file: what is no policy stops the start, and says where."""

from pathlib import Path

import pytest

from service import policy
from service.policy import PolicyError


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "*",
        "agentes:*",
        "agentes revocations:read",
        "a\\tb",
        "a\\u00e9",
        'a\\"b',
        "a" * 101,
        "manage:a",
    ],
)
@pytest.mark.parametrize("line", ["scopes = [{}]", "role_scopes = {{ owner = [{}] }}"])
def test_a_scope_is_one_word_and_no_wildcard(tmp_path: Path, line: str, scope: str) -> None:
    """Two words would be two scopes in a token, one of which nobody granted."""
    file = tmp_path / "policy.toml"
    file.write_text(line.format(f'"{scope}"') + "\n")
    with pytest.raises(PolicyError, match="scopes"):
        policy.load(file)


def test_the_operator_s_own_scopes_are_known_beside_the_first(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('scopes = ["agentes", "proxy-ollama", "urn:x:reports.read"]\n')
    assert policy.load(file).scopes[-1] == "urn:x:reports.read"
