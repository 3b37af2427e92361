"""Each dialect of errors knows every reason."""

import pytest

from service.http import oauth_error, problem
from service.kernel.refusal import Reason


@pytest.mark.parametrize("dialect", [problem, oauth_error], ids=["problem+json", "oauth"])
def test_a_dialect_has_an_answer_to_every_reason(dialect: object) -> None:
    table = dialect.STATUS  # type: ignore[attr-defined]
    assert table.keys() == set(Reason)
    assert all(400 <= status < 500 or status == 503 for status, _ in table.values())
