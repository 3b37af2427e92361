"""The checker of histories: what it explains, and what it does not."""

import pytest

from faults.histories import Act, account, family, linearisable, strict_family
from faults.histories.specifications import Account

START = Account("old", frozenset({"s1", "s2"}))


def act(asked: str, answered: str | None, began: float, ended: float) -> Act:
    told = tuple(answered.split()) if answered is not None else None
    return Act(tuple(asked.split()), told, began, ended)


GOOD = {
    "one after the other": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 2", "ok 3", 2, 3),
    ],
    "a retry gets the same successor": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 1", "ok 2", 2, 3),
    ],
    "an act of long ago came last": [
        act("refresh 1", "ok 2", 0, 9),
        act("refresh 2", "ok 3", 0, 9),
    ],
    "a lost answer had happened": [
        act("refresh 1", None, 0, 1),
        act("refresh 2", "ok 3", 2, 3),
    ],
    "a lost answer had not": [
        act("end", None, 0, 1),
        act("refresh 1", "ok 2", 2, 3),
    ],
    "an older one is worth the current one whatever was used": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 2", "ok 3", 2, 3),
        act("refresh 1", "ok 3", 4, 5),
        act("refresh 3", "ok 4", 6, 7),
    ],
    "one that was never given out ends it": [
        act("refresh 3", "refused", 0, 1),
        act("refresh 1", "refused", 2, 3),
    ],
}

BAD = {
    "two different successors": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 1", "ok 3", 2, 3),
    ],
    "alive after its end": [
        act("end", "ok", 0, 1),
        act("refresh 1", "ok 2", 2, 3),
    ],
    "alive after a theft": [
        act("refresh 3", "refused", 0, 1),
        act("refresh 1", "ok 2", 2, 3),
    ],
    "refused for nothing": [act("refresh 1", "refused", 0, 1)],
    "an end that is refused": [act("end", "refused", 0, 1)],
    "an honest tab is taken for a thief": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 2", "ok 3", 2, 3),
        act("refresh 1", "refused", 4, 5),
    ],
    "an older one is worth one that is no longer current": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 2", "ok 3", 2, 3),
        act("refresh 1", "ok 2", 4, 5),
    ],
}

STRICT_GOOD = {
    "one after the other": GOOD["one after the other"],
    "of two at once one is a replay": [
        act("refresh 1", "ok 2", 0, 5),
        act("refresh 1", "refused", 0, 5),
        act("refresh 2", "refused", 6, 7),
    ],
    "a lost answer had happened": [
        act("refresh 1", None, 0, 1),
        act("refresh 1", "refused", 2, 3),
    ],
}

STRICT_BAD = {
    "a retry": GOOD["a retry gets the same successor"],
    "two at once": [
        act("refresh 1", "ok 2", 0, 5),
        act("refresh 1", "ok 2", 0, 5),
    ],
    "alive after a theft": [
        act("refresh 1", "ok 2", 0, 1),
        act("refresh 1", "refused", 2, 3),
        act("refresh 2", "ok 3", 4, 5),
    ],
}


@pytest.mark.parametrize("name", STRICT_GOOD)
def test_so_is_one_of_a_family_without_a_grace(name: str) -> None:
    assert linearisable(STRICT_GOOD[name], 1, strict_family)


@pytest.mark.parametrize("name", STRICT_BAD)
def test_nor_is_one_of_a_family_without_a_grace(name: str) -> None:
    assert not linearisable(STRICT_BAD[name], 1, strict_family)


@pytest.mark.parametrize("name", GOOD)
def test_a_history_of_a_family_that_has_an_order_is_explained(name: str) -> None:
    assert linearisable(GOOD[name], 1, family)


@pytest.mark.parametrize("name", BAD)
def test_a_history_of_a_family_that_has_none_is_not(name: str) -> None:
    assert not linearisable(BAD[name], 1, family)


def test_a_sign_in_beside_a_change_of_password_may_come_before_or_after() -> None:
    change = act("change s1 old new", "ok", 0, 5)
    for password, answer in (("old", "ok s3"), ("new", "ok s3"), ("old", "refused")):
        beside = [change, act(f"sign-in {password}", answer, 1, 4)]
        assert linearisable(beside, START, account)


def test_what_contradicts_a_change_of_password_is_not_explained() -> None:
    change = act("change s1 old new", "ok", 0, 1)
    for later in (
        act("sign-in old", "ok s3", 2, 3),
        act("sign-in new", "refused", 2, 3),
        act("refresh s2", "ok", 2, 3),
        act("refresh s1", "refused", 2, 3),
        act("change s1 old third", "ok", 2, 3),
    ):
        assert not linearisable([change, later], START, account), later


def test_nobody_gets_in_once_disabled_and_no_old_session_comes_back() -> None:
    disable, enable = act("disable", "ok", 0, 1), act("enable", "ok", 2, 3)
    assert not linearisable([disable, act("sign-in old", "ok s3", 2, 3)], START, account)
    assert linearisable([disable, enable, act("sign-in old", "ok s3", 4, 5)], START, account)
    assert not linearisable([disable, enable, act("refresh s1", "ok", 4, 5)], START, account)


def test_a_bearer_of_the_second_in_which_its_account_was_disabled_may_be_refused() -> None:
    before = [
        act("disable", "ok", 0, 1),
        act("enable", "ok", 2, 3),
        act("sign-in old", "ok s3", 4, 5),
    ]
    for answer, password in (("refused", "old"), ("ok", "new")):
        change = act("change s3 old new", answer, 6, 7)
        assert linearisable(
            [*before, change, act(f"sign-in {password}", "ok s4", 8, 9)], START, account
        )
