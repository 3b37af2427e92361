"""An entry on the revocation feed outlives every token that it revokes."""

from datetime import timedelta

import msgspec

from service.domain.tokens.verification import LEEWAY
from service.flows.keys.kill import KILLED_FOR
from service.flows.shared.ending import LASTS, PAST_EXPIRY
from service.policy import CATCHING_UP, Keys, Policy, Tokens


def _converts(given: dict[str, int], into: type[Tokens | Keys]) -> bool:
    try:
        msgspec.convert(given, into)
    except msgspec.ValidationError:
        return False
    return True


def longest() -> timedelta:
    """Return the longest life of an access token that a policy may set."""
    lives = ("access_token_ttl", "exchanged_token_ttl")
    bounds = [
        seconds
        for seconds in range(86_400)
        if any(_converts({life: seconds}, Tokens) for life in lives)
    ]
    return timedelta(seconds=max(bounds))


def test_an_entry_outlives_the_longest_token_that_policy_can_set() -> None:
    assert timedelta(seconds=LEEWAY) < PAST_EXPIRY
    assert longest() + timedelta(seconds=LEEWAY) < LASTS
    assert longest() + PAST_EXPIRY == LASTS
    assert timedelta(seconds=CATCHING_UP) + LASTS == KILLED_FOR


def test_a_retired_key_is_published_for_longer_than_its_last_token_lives() -> None:
    least = int(longest().total_seconds()) + CATCHING_UP
    assert Policy().keys.retired_for >= least
    assert _converts({"retired_for": least}, Keys)
    assert not _converts({"retired_for": least - 1}, Keys)
