"""The campaigns, in order, and how much of each is a quick and a full run."""

import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from faults.assaults import climb_walls, crowd, flood, forge, guess, present_revoked, steal
from faults.crashes import (
    crash_ends,
    crash_master_rotation,
    crash_publishing,
    crash_sealing,
    crash_sessions,
)
from faults.fuzz import fuzz_bytes, fuzz_contract
from faults.histories import explain_histories
from faults.model import follow_model
from faults.outages import endure_outages, hang, step_clock
from faults.report import Report
from faults.site import Site


class Campaign(Struct, frozen=True):
    """One way to attack.  `run` is told how many rounds."""

    name: str
    about: str
    run: Callable[[Site, Report, random.Random, int], Awaitable[None]]
    quick: int
    full: int
    minutes: float
    """That a full one takes, or so."""


CAMPAIGNS = (
    Campaign("forgeries", "tokens and cookies that are nearly right: times over", forge, 1, 200, 1),
    Campaign("walls", "every route with another's ids: organizations", climb_walls, 1, 50, 1),
    Campaign(
        "histories",
        "concurrent clients, and an order that explains them: families",
        *(explain_histories, 40, 2000, 4),
    ),
    Campaign("model", "sequences of 50 steps against a model: so many", follow_model, 8, 2000, 15),
    Campaign("guesses", "parallel guesses by every alias and door: accounts", guess, 3, 100, 4),
    Campaign("thefts", "stolen refresh tokens, shown in each window: of each", steal, 4, 500, 5),
    Campaign("revoked", "revoked by every kind, shown at once: rounds", present_revoked, 3, 300, 3),
    Campaign("contract", "answers against openapi/: times an operation", fuzz_contract, 10, 100, 8),
    Campaign("bytes", "hostile bytes on every route: requests", fuzz_bytes, 4_000, 1_000_000, 40),
    Campaign("flood", "more sign-ins than can be hashed: floods", flood, 1, 20, 4),
    Campaign("crowd", "more changes of passwords than can be hashed: crowds", crowd, 1, 20, 6),
    Campaign("outages", "servers that die, hang, fill up: of each kind", endure_outages, 1, 20, 11),
    Campaign(
        "hangs",
        "PostgreSQL stopped in its commits, a standby lost; browsers ask again: rounds",
        *(hang, 1, 4, 14),
    ),
    Campaign("clock", "the host's clock is stepped: times", step_clock, 1, 100, 4),
    Campaign(
        "crashes",
        "kill -9 at each point of rotation and sign-in: acts per point",
        *(crash_sessions, 1, 500, 25),
    ),
    Campaign(
        "ends",
        "kill -9 at each point of sign-out, keys, passwords: acts per point",
        *(crash_ends, 1, 500, 35),
    ),
    Campaign(
        "unpublished",
        "kill -9 between a commit and its publishing, and commits that come late: of each",
        *(crash_publishing, 2, 100, 20),
    ),
    Campaign("sealing", "kill -9 while the trail is sealed: per point", crash_sealing, 1, 500, 25),
    Campaign(
        "master-key",
        "kill -9 while master keys are rotated: per point",
        *(crash_master_rotation, 1, 500, 20),
    ),
)
