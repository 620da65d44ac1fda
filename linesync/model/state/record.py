"""The base class of the records of the state, and their JSON form: one object, with the fields in their order.

A reader ignores the fields that it does not know, so a later version may add a field. The new field needs a default,
because an older hub does not send it.
"""

from __future__ import annotations

from functools import cache

from ...frozen_record import MISSING, Record

TYPE_CHECKING = False  # the import of typing would take a tenth of the time of a small command
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self

__all__ = ["State", "Waiting"]

_PLAIN: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "None": (type(None),),
}


class State(Record):
    """A record with a JSON form.

    The types of its fields are ``str``, ``bool``, ``int``, ``float``, ``None``, other states, unions of these,
    ``dict[str, T]`` and ``tuple[T, ...]``.
    """

    BY_NAME: ClassVar[dict[str, type[State]]] = {}
    """All classes of records by name."""

    def __init_subclass__(cls) -> None:
        State.BY_NAME[cls.__name__] = cls

    def as_json(self) -> dict[str, Any]:
        """The record as plain dicts, lists, texts and numbers."""
        result = {}
        for name, types, *_ in _fields(type(self)):
            value = getattr(self, name)
            result[name] = value if types else _plain(value)
        return result

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Make a record from a result of :meth:`as_json`. Unknown fields are ignored.

        :raises ValueError: a field is missing, or its value has another type.
        """
        if type(value) is not dict:
            raise ValueError(f"a {cls.__name__} is an object, not {value!r:.50}")
        record = cls.__new__(cls)  # the checks of __init__ would take most of the time
        for name, types, read, default, put in _fields(cls):
            found = value.get(name, MISSING)
            if type(found) in types:
                put(record, found)
            elif found is not MISSING:
                put(record, read(found))
            elif default is not MISSING:
                put(record, default)
            else:
                raise ValueError(f"a {cls.__name__} needs the field {name}")
        return record


class Waiting(State):
    """An arrival that waits."""

    name: str
    """the member or the host that waits"""
    client: str
    """the number of its connection on its host"""
    waiting: float
    """seconds since it arrived"""


def _plain(value: Any) -> Any:
    if isinstance(value, State):
        return value.as_json()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


@cache
def _fields(record: type[State]) -> list[tuple[str, tuple[type, ...], Callable[[Any], Any], Any, Callable[..., None]]]:
    """The fields of a record class, each as a tuple: the name; the types, if they are plain; the function that reads any
    other value; the default; and the function that sets the field."""
    return [
        (name, _plain_types(kind), _reader(kind), default, getattr(record, name).__set__)
        for name, (kind, default) in record.FIELDS.items()
    ]


def _plain_types(kind: str) -> tuple[type, ...]:
    """The types whose values need no conversion; empty if any value of this type needs one."""
    kinds = _union(kind)
    return tuple([plain for name in kinds for plain in _PLAIN[name]]) if all(name in _PLAIN for name in kinds) else ()


@cache
def _reader(kind: str) -> Callable[[Any], Any]:
    """Make the function that reads a JSON value of a type. The function raises ValueError for another value.

    :param kind: the type as in an annotation, such as ``tuple[str, ...]``.
    """
    kinds = _union(kind)
    if len(kinds) > 1:
        return _union_reader(kind, kinds)
    if kind in State.BY_NAME:
        return State.BY_NAME[kind].from_json
    if kind.startswith("tuple["):
        inner = _reader(kind.removeprefix("tuple[").removesuffix(", ...]"))
        return lambda value: tuple([inner(item) for item in _checked(value, (list,), kind)])
    if kind.startswith("dict[str, "):
        inner = _reader(kind.removeprefix("dict[str, ").removesuffix("]"))
        return lambda value: {name: inner(item) for name, item in _checked(value, (dict,), kind).items()}
    return lambda value: _checked(value, _PLAIN[kind], kind)


def _union_reader(kind: str, kinds: list[str]) -> Callable[[Any], Any]:
    """Make the function that reads a value of one of several types. The first matching type is used."""
    readers = [(_required(member), _reader(member)) for member in kinds]

    def read(value: Any) -> Any:
        for required, reader in readers:
            if required is not None and not (type(value) is dict and required <= value.keys()):
                continue  # an exception for each type that does not match would take most of the time
            try:
                return reader(value)
            except ValueError:
                pass
        raise ValueError(f"{value!r:.50} is not a {kind}")

    return read


def _required(kind: str) -> set[str] | None:
    """The names of the required fields of a record class; None if the type is not a record class."""
    record = State.BY_NAME.get(kind)
    return None if record is None else {name for name, (_, default) in record.FIELDS.items() if default is MISSING}


def _checked(value: Any, types: tuple[type, ...], kind: str) -> Any:
    if type(value) not in types:  # not isinstance: True is an int
        raise ValueError(f"{value!r:.50} is not a {kind}")
    return value


def _union(kind: str) -> list[str]:
    """The types of a union."""
    kinds, depth = [""], 0
    for char in kind:
        depth += (char == "[") - (char == "]")
        if char == "|" and depth == 0:
            kinds.append("")
        else:
            kinds[-1] += char
    return [member.strip() for member in kinds]
