"""The campaigns, in order, and how much of each is a quick and a full run."""

import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from faults.assaults import climb_walls, flood, forge, guess, present_revoked
from faults.crashes import crash_acts, crash_master_rotation, crash_sealing
from faults.fuzz import fuzz_bytes, fuzz_contract
from faults.histories import explain_histories
from faults.model import follow_model
from faults.outages import endure_outages
from faults.report import Report
from faults.site import Site


class Campaign(Struct, frozen=True):
    """One way to attack.  `run` is told how many rounds."""

    name: str
    about: str
    run: Callable[[Site, Report, random.Random, int], Awaitable[None]]
    quick: int
    full: int


CAMPAIGNS = (
    Campaign("forgeries", "tokens and cookies that are nearly right: times over", forge, 1, 200),
    Campaign("walls", "every route with another's ids: organizations", climb_walls, 1, 50),
    Campaign(
        "histories",
        "concurrent clients, and an order that explains them: families",
        explain_histories,
        40,
        5000,
    ),
    Campaign("model", "sequences of 50 steps against a model: so many", follow_model, 8, 2000),
    Campaign("guesses", "parallel guesses by every alias and door: accounts", guess, 3, 200),
    Campaign("revoked", "revoked by every kind, shown at once: rounds", present_revoked, 3, 300),
    Campaign("contract", "answers against openapi/: times each operation", fuzz_contract, 4, 400),
    Campaign("bytes", "hostile bytes on every route: requests", fuzz_bytes, 4_000, 1_000_000),
    Campaign("flood", "more sign-ins than can be hashed: floods", flood, 1, 20),
    Campaign("outages", "servers that die, hang and stutter: of each kind", endure_outages, 1, 20),
    Campaign("crashes", "kill -9 at each point of each act: acts per point", crash_acts, 1, 500),
    Campaign("sealing", "kill -9 while the trail is sealed: per point", crash_sealing, 1, 500),
    Campaign(
        "master-key",
        "kill -9 while master keys are rotated: per point",
        crash_master_rotation,
        1,
        500,
    ),
)
