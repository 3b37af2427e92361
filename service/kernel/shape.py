"""Finds all faults of a value, member by member, and says what each member must be.

msgspec stops at the first fault and names neither allowed values nor bounds.  So a refused value is
checked again, by the same types.  A type's own words are used where it has any (a noun in
`Meta(description=...)`).  No given value is repeated; an unknown member is named.
"""

import re
from collections.abc import Iterator
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import UnsetType, inspect, structs

from service.kernel.refusal import Fault

_MOST_FAULTS = 20
_MOST_ITEMS = 1000
_NAME = re.compile(r"\w{1,80}", re.ASCII)
_PLAIN = {
    inspect.BoolType: "true or false",
    inspect.DateTimeType: "a time as of RFC 3339 with its offset, such as 2030-01-31T12:00:00Z",
    inspect.NoneType: "null",
    inspect.UUIDType: "an id: a UUID such as 0198c0de-0000-7000-8000-000000000000",
}


def find_faults(value: object, expected: Any, at: str = "#") -> tuple[Fault, ...]:
    """Return the faults of a decoded JSON value, each with its JSON pointer (RFC 6901).

    At most 20 faults, unknown members last; none when the value is of the expected type.
    """
    found = list(islice(_walk(value, expected, at), _MOST_FAULTS))
    return tuple(sorted(found, key=lambda fault: fault.unknown))


def told(expected: Any) -> str:
    """Return what a value of this type must be, as words that follow "must be"."""
    return _told(inspect.type_info(expected))


def given_type(expected: Any) -> Any:
    """Return the type of a member when it is given: without null, and without being left out."""
    members = [one for one in get_args(expected) if one not in (type(None), UnsetType)]
    is_union = get_origin(expected) in (Union, UnionType)
    return members[0] if is_union and len(members) == 1 else expected


def bare_type(expected: Any) -> Any:
    """Return the type without null and without annotations."""
    given = given_type(expected)
    return bare_type(get_args(given)[0]) if get_origin(given) is Annotated else given


def _walk(value: object, expected: Any, at: str) -> Iterator[Fault]:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError:
        below = _below(value, bare_type(expected), at)
        first = next(below, None)
        if first is None:
            yield Fault(at, f"must be {told(given_type(expected))}")
        else:
            yield first
            yield from below


def _below(value: object, kind: Any, at: str) -> Iterator[Fault]:
    """Yield the faults inside a value that is, as expected, an object or a list."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        known = {field.encode_name: field for field in structs.fields(kind)}
        for name, field in known.items():
            if name in value:
                yield from _walk(value[name], field.type, f"{at}/{name}")
            elif field.required:
                yield Fault(
                    f"{at}/{name}", f"is missing: it must be {told(given_type(field.type))}"
                )
        if kind.__struct_config__.forbid_unknown_fields:
            members = f"known; known are: {', '.join(known) or 'none'}"
            unknown = [name for name in value if name not in known]
            if not all(map(_NAME.fullmatch, unknown)):
                yield Fault(at, f"has a member that is not {members}", unknown=True)
            for name in filter(_NAME.fullmatch, unknown):
                yield Fault(f"{at}/{name}", f"is not {members}", unknown=True)
    elif isinstance(value, list) and get_origin(kind) is list:
        for number, one in enumerate(value[:_MOST_ITEMS]):
            yield from _walk(one, get_args(kind)[0], f"{at}/{number}")


def _told(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata(type=inner, extra_json_schema=schema):
            return str((schema or {}).get("description", "")) or _told(inner)
        case inspect.StrType(min_length=least, max_length=most):
            return f"text of {_between(least, most, 'characters')}"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number {_range(least, most)}".rstrip()
        case inspect.LiteralType(values=values):
            return f"one of: {', '.join(map(str, values))}"
        case inspect.EnumType(cls=cls):
            return f"one of: {', '.join(str(one.value) for one in cls)}"
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            return f"a list of {_between(least, most, 'items')}, each {_told(item)}"
        case inspect.DictType(value_type=value):
            return f"an object whose members are each {_told(value)}"
        case inspect.StructType(fields=fields):
            members = ", ".join(field.encode_name for field in fields)
            return f"an object with the members: {members}" if fields else "an empty object"
        case inspect.UnionType(types=types):
            return " or ".join(_told(one) for one in types)
        case _:
            return _PLAIN.get(type(info), "an object")


def _between(least: int | None, most: int | None, of: str) -> str:
    if most is None:
        return f"{least or 0} or more {of}"
    return f"{least or 0} to {most} {of}"


def _range(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f"from {least} to {most}"
    return f"from {least} on" if least is not None else f"up to {most}" if most is not None else ""
