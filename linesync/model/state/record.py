"""The base of the records that show a state, and their JSON form: one object, with the fields in their order.

A reader ignores the fields that it does not know, so a later version may add a field. The new field needs a default,
because an older hub does not send it.
"""

from __future__ import annotations

from functools import lru_cache

from ...frozen_record import MISSING, Record

TYPE_CHECKING = False  # importing typing would take a tenth of the time of a small command
if TYPE_CHECKING:
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
    """All kinds of states."""

    def __init_subclass__(cls) -> None:
        State.BY_NAME[cls.__name__] = cls

    def as_json(self) -> dict[str, Any]:
        """The state as plain dicts, lists, texts and numbers."""
        return {name: _plain(getattr(self, name)) for name in self.FIELDS}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what :meth:`as_json` returns, perhaps with further fields.

        :raises ValueError: a field is missing, or its value has another type.
        """
        if not isinstance(value, dict):
            raise ValueError(f"a {cls.__name__} is an object, not {value!r:.50}")
        fields: dict[str, Any] = {}
        for name, (kind, default) in cls.FIELDS.items():
            if name in value:
                fields[name] = _read(kind, value[name])
            elif default is MISSING:
                raise ValueError(f"a {cls.__name__} needs the field {name}")
        return cls(**fields)


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
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _read(kind: str, value: Any) -> Any:
    """Read a value of a type, which is written as in an annotation; raises ValueError."""
    one, others = _union(kind)
    if others:
        try:
            return _read(one, value)
        except ValueError:
            return _read(others, value)
    if kind in State.BY_NAME:
        return State.BY_NAME[kind].from_json(value)
    if kind.startswith("tuple[") and isinstance(value, list):
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return tuple([_read(inner, one) for one in value])
    if kind.startswith("dict[str, ") and isinstance(value, dict):
        inner = kind.removeprefix("dict[str, ").removesuffix("]")
        return {name: _read(inner, one) for name, one in value.items()}
    if type(value) not in _PLAIN.get(kind, ()):  # not isinstance: True is an int
        raise ValueError(f"{value!r:.50} is not a {kind}")
    return value


@lru_cache
def _union(kind: str) -> tuple[str, str]:
    """The first type of a union, and the others; without others, they are empty."""
    depth = 0
    for place, char in enumerate(kind):
        depth += (char == "[") - (char == "]")
        if char == "|" and depth == 0:
            return kind[:place].strip(), kind[place + 1 :].strip()
    return kind, ""
