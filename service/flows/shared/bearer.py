"""Authenticate a bearer credential, an access token or an API key, for one kind of route.

An access token must be issued for this service: `aud` is the service's own.  Where people manage
their account or an organization, a person's token must also be issued to a first-party client.
Otherwise every application that signs people in could administer in their name.
"""

from service.domain.clients import CONSOLE
from service.flows.shared.api_key_check import PREFIX, Shown, check_key
from service.flows.shared.authenticate import authenticate
from service.flows.shared.known_client import find_client
from service.flows.shared.permissions import MANAGEMENT_SCOPES, Administrator
from service.kernel.call import ApiKey, Call, Machine, Person
from service.kernel.refusal import Reason, Refused
from service.runtime import Runtime


async def authenticate_caller(rt: Runtime, call: Call, token: str) -> Person | Machine | ApiKey:
    """Return the caller, for routes that check scopes.

    Refused: UNAUTHENTICATED, which never says why; FORBIDDEN for a token that was issued for
    another service; TOO_MANY; UNAVAILABLE.
    """
    if not token.startswith(PREFIX):
        return await authenticate(rt, token, call.at)
    checked = await check_key(rt, call, Shown(text=token, address=call.ip, limited=True))
    key = checked.good
    if key is None:
        raise Refused(Reason.UNAUTHENTICATED, private=f"api key: {checked.why}")
    return ApiKey(key_id=key.key_id, tenant_id=key.tenant_id, scopes=key.scopes)


async def authenticate_administrator(rt: Runtime, call: Call, token: str) -> Administrator:
    """Return the person or the machine, for routes of administration.

    Refused: as for a caller; FORBIDDEN for a person's token of another application, and for an API
    key; INSUFFICIENT_SCOPE for a machine without any management scope.
    """
    actor = await authenticate_caller(rt, call, token)
    match actor:
        case Person():
            await _refuse_foreign(rt, call, actor)
            return actor
        case Machine():
            if not MANAGEMENT_SCOPES.keys() & set(actor.scopes):
                raise Refused(Reason.INSUFFICIENT_SCOPE, "a management scope is needed")
            return actor
        case ApiKey():
            raise Refused(Reason.FORBIDDEN, "an API key administers nothing")


async def authenticate_person(rt: Runtime, call: Call, token: str) -> Person:
    """Return the person, for routes on which people manage their own account.

    Refused: as for a caller; FORBIDDEN for a machine, an API key, and a person's token of another
    application.  A new token would not help them, so none of them is told to fetch one.
    """
    actor = await authenticate_caller(rt, call, token)
    if not isinstance(actor, Person):
        raise Refused(Reason.FORBIDDEN, "only a signed-in person may do this")
    await _refuse_foreign(rt, call, actor)
    return actor


async def _refuse_foreign(rt: Runtime, call: Call, person: Person) -> None:
    """Refuse a token that was issued to another application: FORBIDDEN.

    The console is first-party by a constraint of the database: it costs no look at the cache.
    """
    if person.client_id == CONSOLE:
        return
    client = await find_client(rt, call, person.client_id)
    if client is not None and not client.first_party:  # it may have just become first-party
        client = await find_client(rt, call, person.client_id, doubtful=True)
    if client is None or not client.first_party:
        raise Refused(
            Reason.FORBIDDEN,
            "this token was issued to another application: it opens nothing here, whatever its"
            " person may do",
            private=f"wall: client {person.client_id}",
        )
