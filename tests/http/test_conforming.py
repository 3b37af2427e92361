"""What conforms to openapi/ is taken, and what is taken conforms: names, addresses, lifetimes."""

import json
import re
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.apikeys import read_network
from service.domain.users import parse_email
from service.embedded.checkout import ROOT
from service.flows.shared.naming import check_name
from service.http import field_types
from service.http.address import given_address
from service.kernel.refusal import Refused
from service.policy import Policy, TokenOverrides, Tokens
from service.runtime import Runtime
from tests.http.admin.test_people import signed_in

SCHEMAS = json.loads((ROOT / "openapi" / "tesserra-auth.json").read_text())["components"]["schemas"]
QUIET = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
ASCII = st.characters(max_codepoint=127)
ADDRESSES = st.one_of(
    st.emails(),
    st.from_regex(r"[a-z0-9!#+._'-]{1,12}@[A-Za-z0-9.-]{1,20}", fullmatch=True),
    st.builds("{}@{}".format, st.text(ASCII, max_size=9), st.text(ASCII, max_size=9)),
)


def takes(kind: Any, value: object) -> bool:
    """Tell whether the gate takes a value."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def conforms(schema: dict[str, Any], text: str) -> bool:
    """Tell whether a text is what the pattern and the lengths of a schema say, read by JavaScript.

    Its `$` is the end of a text, and Python's is also one of a line.
    """
    pattern = schema["pattern"].removesuffix("$") + r"\Z"
    return bool(re.search(pattern, text)) and len(text) <= schema["maxLength"]


@given(ADDRESSES)
@QUIET
def test_an_ascii_address_is_taken_if_and_only_if_it_conforms(text: str) -> None:
    """But for IDNA 2008, which no pattern can say."""
    told = conforms(SCHEMAS["InviteForm"]["properties"]["email"], text)
    assert told == takes(field_types.Address, text)
    taken = parse_email(text) is not None
    idna = re.search(r"@(.*\.)?..--|^[^@]{65,}@|@.{254,}", text)
    assert told == taken or (told and idna), text


@pytest.mark.parametrize(
    "text",
    [
        *("ada@acme.example", "o'brien+x{y}@a-b.example", "a@1-2", "a@x.1a", "a.b@localhost"),
        *(
            "josé@acme.example",
            "用户@例子.example",
            "anna@xn--strae-oqa.example",
            "x@straße.example",
        ),
    ],
)
def test_addresses_of_every_form_that_is_taken_conform(text: str) -> None:
    assert parse_email(text) is not None
    assert takes(field_types.Address, text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            '"a b"@acme.example',
            "a..b@acme.example",
            ".a@acme.example",
            "a@",
            "@b",
            "a@b@c.example",
        ),
        *("a@-b.example", "a@b-.example", "a@b_c.example", "a@192.0.2.1", "a@[192.0.2.1]", "a@b."),
        *("a@b..c", " a@b.example", "a@b.example\n", "(x)a@b.example", f"a@{'b' * 64}.example"),
    ],
)
def test_addresses_of_other_forms_are_told_of_at_the_gate(text: str) -> None:
    assert not takes(field_types.Address, text)


@given(st.text(max_size=250))
@QUIET
def test_a_name_is_taken_at_the_gate_as_every_flow_takes_it(text: str) -> None:
    try:
        check_name(text)
    except Refused:
        named = False
    else:
        named = True
    schema = SCHEMAS["KeyForm"]["properties"]["name"]
    assert named == takes(field_types.Name, text) == conforms(schema, text)


@given(st.ip_addresses().map(str))
@QUIET
def test_every_ip_address_is_taken(text: str) -> None:
    assert takes(field_types.IpAddress, text)
    assert takes(field_types.Network, text)
    assert given_address(text)
    assert read_network(text)


def test_an_organization_overrides_the_numbers_of_the_policy_within_their_bounds() -> None:
    told = SCHEMAS["TokenOverrides"]["properties"]
    numbers = {f.name for f in msgspec.structs.fields(Tokens) if isinstance(f.default, int)}
    assert told.keys() == numbers
    assert told["refresh_grace"] == {"type": "integer", "minimum": 0, "maximum": 30}
    given_once = msgspec.convert({"refresh_grace": 0}, TokenOverrides)
    overrides = msgspec.json.encode(given_once).decode()
    assert overrides == '{"refresh_grace":0}'
    assert Policy().tokens_for(overrides) == Tokens(refresh_grace=0)


async def test_an_organization_s_lifetimes_are_kept_and_replaced(
    rt: Runtime, client: httpx2.AsyncClient
) -> None:
    told = await signed_in(rt, client, role="owner", platform_admin=True)
    path = f"/admin/organizations/{told['organization']['id']}"
    for policy in (
        {"refresh_grace": 0, "record_every_rotation": True},
        {"access_token_ttl": 60},
        {},
    ):
        answer = await client.put(path, json={"policy": policy})
        assert (answer.status_code, answer.json()["policy"]) == (200, policy)
    assert (await client.put(path, json={"policy": None})).json()["policy"] == {}
