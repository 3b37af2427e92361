"""Describe the signed-in person (`/auth/me`)."""

from service.domain import families
from service.domain.users import Profile
from service.flows.shared import limiting
from service.kernel.call import Person
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def describe_me(rt: Runtime, person: Person) -> Profile:
    """Return the profile of a person, usually from the worker's cache.

    Refused: TOO_MANY (per session); UNAUTHENTICATED when person or organization may not act.
    """
    await limiting.spend(rt, "me", rt.policy.limits.me, str(person.session_id))
    if known := rt.profiles.find(person.session_id):
        return known
    async with rt.pg.reading() as tx:
        standing = await families.find_standing(tx, person.session_id)
    if standing is None:
        raise Refused(Reason.UNAUTHENTICATED, private="me: may not act")
    profile = Profile(
        email=standing.email,
        name=standing.name,
        slug=standing.slug,
        organization=standing.organization,
        role=standing.role,
    )
    rt.profiles.put(person.session_id, profile)
    return profile
