"""Every fault of a value is found, told with what it must be, and nothing of the value is told."""

import time
from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, UnsetType

from service.kernel.shape import find_faults, given_type, told

SECRET = "canary-9b1d"


class Part(Struct, forbid_unknown_fields=True):
    """Inside another."""

    size: Annotated[int, Meta(ge=1, le=9)]
    names: Annotated[list[Annotated[str, Meta(min_length=1, max_length=5)]], Meta(max_length=3)]


class Whole(Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """With every kind of member that the wires take."""

    role: Literal["owner", "member"]
    from_: Annotated[datetime, Meta(tz=True)] | None = None
    part: Part | None = None
    marks: dict[str, str] = {}
    fast: bool = False
    mail: Annotated[str, Meta(pattern="@", description="an e-mail address")] = "a@b"


def found(value: object) -> dict[str, str]:
    return {fault.at: fault.detail for fault in find_faults(value, Whole)}


def test_nothing_is_wrong_with_what_is_right() -> None:
    part = {"size": 1, "names": ["a"]}
    assert found({"role": "owner", "from": None, "part": part, "marks": {"a": "b"}}) == {}


def test_all_that_is_wrong_is_told_at_once_with_values_bounds_and_form() -> None:
    value = {
        "role": SECRET,
        "from": "yesterday",
        "part": {"size": 10, "names": ["ok", "", "toolong"]},
        "marks": {SECRET: 1},
        "fast": "yes",
        "mail": SECRET,
        SECRET: 1,
        "admin": SECRET,
    }
    assert found(value) == {
        "#/role": "must be one of: member, owner",
        "#/from": "must be a time as of RFC 3339 with its offset, such as 2030-01-31T12:00:00Z",
        "#/part/size": "must be a whole number from 1 to 9",
        "#/part/names/1": "must be text of 1 to 5 characters",
        "#/part/names/2": "must be text of 1 to 5 characters",
        "#/marks": "must be an object whose members are each text of 0 or more characters",
        "#/fast": "must be true or false",
        "#/mail": "must be an e-mail address",
        "#": "has a member that is not known; known are: role, from, part, marks, fast, mail",
        "#/admin": "is not known; known are: role, from, part, marks, fast, mail",
    }
    assert SECRET not in str(list(found(value).items()))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], {"#": "must be an object with the members: role, from, part, marks, fast, mail"}),
        ({}, {"#/role": "is missing: it must be one of: member, owner"}),
        ({"role": "owner", "part": {"size": 1}}, {"#/part/names"}),
        ({"role": "owner", "part": {"size": 1, "names": ["a"] * 4}}, {"#/part/names"}),
        ({"role": "owner", "part": 5}, {"#/part"}),
        ({"role": "owner", "from": "2026-01-01T00:00:00"}, {"#/from"}),
        ({"role": None}, {"#/role"}),
        ({"role": "owner", "part": {"size": 1, "names": [], "odd": 1}}, {"#/part/odd"}),
        ({"role": "owner", "a/b": 1, "~": 2}, {"#"}),
    ],
)
def test_a_fault_is_where_it_is(value: object, told: Any) -> None:
    assert found(value) == told or found(value).keys() == told


def test_a_hostile_value_is_told_of_in_bounds() -> None:
    many = {"role": "owner", "part": {"size": 1, "names": [0] * 30_000}}
    unknown = {"role": "owner", **{f"x{number}": 1 for number in range(20_000)}}
    deep: object = 1
    for _ in range(400):
        deep = {"part": deep}
    began = time.monotonic()
    assert len(find_faults(many, Whole)) == 20
    assert len(find_faults(unknown, Whole)) == 20
    assert find_faults(deep, Whole)
    assert time.monotonic() - began < 2


def test_types_without_words_of_their_own_are_told_by_their_bounds() -> None:
    assert told(Annotated[int, Meta(ge=3)]) == "a whole number from 3 on"
    assert told(Annotated[int, Meta(le=3)]) == "a whole number up to 3"
    assert told(given_type(int | UnsetType)) == "a whole number"
    assert told(int | bool) == "a whole number or true or false"
    assert told(list[int]) == "a list of 0 or more items, each a whole number"
