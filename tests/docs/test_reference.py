"""docs/reference/ is what the code says, and the code says something of everything."""

from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.inspect import StructType, type_info

from docs import reference
from service.domain.audit.events import TYPES
from service.flows.shared.permissions import Permission, Scope
from service.policy import Policy, TokenOverrides, Tokens
from service.settings import Settings


def _sections() -> list[type[Struct]]:
    kind = type_info(Policy)
    assert isinstance(kind, StructType)
    return [field.type.cls for field in kind.fields if isinstance(field.type, StructType)]


def test_no_page_differs_from_the_code() -> None:
    assert reference.stale() == [], f"run {reference.COMMAND}"


def test_a_page_that_was_edited_or_lost_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        reference, "pages", lambda: {tmp_path / "a.md": "a", tmp_path / "b.md": "b"}
    )
    (tmp_path / "a.md").write_text("edited")
    assert reference.stale() == [tmp_path / "a.md", tmp_path / "b.md"]
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "b.md").write_text("b")
    assert reference.stale() == []


@pytest.mark.parametrize("kind", [Settings, *_sections()], ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is(kind: type[Struct]) -> None:
    said = reference.field_docs(kind)
    assert [name for name in kind.__struct_fields__ if not said.get(name)] == []


def test_the_fields_that_an_organization_may_set_are_named() -> None:
    [told] = [one for one in reference.policy().split("\n\n") if "single organization" in one]
    named = {name for name in Tokens.__struct_fields__ if f"`{name}`" in told}
    assert named == set(TokenOverrides.__struct_fields__)
    assert "algorithm" not in named


def test_every_event_type_is_on_its_page() -> None:
    page = reference.audit_events()
    assert [name for name in TYPES if f"\n| `{name}` | " not in page] == []


def test_every_permission_and_scope_is_on_its_page() -> None:
    page = reference.permissions()
    names = [*Permission, *Scope]
    assert [name for name in names if f"\n| `{name}` | " not in page] == []


def test_a_decision_of_another_form_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "decisions").mkdir()
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    one = tmp_path / "decisions" / "2026-01-02-one.md"
    one.write_text("# One\n\n2026-01-02\n\n**Decision.** Yes.\n")
    assert "| 2026-01-02 | [One](2026-01-02-one.md) |" in reference.decisions()
    one.write_text("# One\n\n2026-01-03\n")
    with pytest.raises(ValueError, match=r"2026-01-02-one\.md"):
        reference.decisions()
