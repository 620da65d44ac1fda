"""Small frozen values: what dataclasses with ``frozen`` and ``slots`` are, without their cost at start-up.

The standard dataclass writes and compiles methods for each class, half a millisecond each, and imports ``inspect`` to do
it: with some sixty such classes a command that lives for thirty milliseconds would spend fifty on them. A record is
declared the same way, type checkers see a dataclass, and its methods are the ones below for all of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # without typing, which takes a small command a tenth of its life to import
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """Tells type checkers that a class is declared like a dataclass."""
        return lambda cls: cls


__all__ = ["MISSING", "Record"]

MISSING: Any = object()
"""The default of a field that has none."""


class _RecordType(type):
    """Turns annotations into slots, and keeps their names, types and defaults."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> _RecordType:
        kinds = dict(getattr(bases[0], "FIELDS", {})) if bases else {}
        own = {
            field: (kind, space.pop(field, MISSING))
            for field, kind in space.get("__annotations__", {}).items()
            if "ClassVar" not in str(kind)  # a compiled module keeps the type itself
        }
        kinds |= own
        space["__slots__"] = tuple(own)
        space["__match_args__"] = tuple(kinds)
        space["FIELDS"] = kinds
        return super().__new__(mcs, name, bases, space)


@dataclass_transform(frozen_default=True, eq_default=True)
class Record(metaclass=_RecordType):
    """Base of all records. Fields may be given by position or by name; those without a default must be."""

    FIELDS: ClassVar[dict[str, tuple[str, Any]]]
    """Field name to (type as written, default or MISSING), in order."""
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **named: Any) -> None:
        put = object.__setattr__
        names = self.__match_args__
        for name, value in zip(names, args, strict=False):
            put(self, name, value)
        if len(args) != len(names):
            self._fill(names[len(args) :], named)
        if named or len(args) > len(names):
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)}, each once")

    def _fill(self, names: tuple[str, ...], named: dict[str, Any]) -> None:
        for name in names:
            value = named.pop(name, MISSING)
            if value is MISSING:
                value = self.FIELDS[name][1]
            if value is MISSING:
                raise TypeError(f"{type(self).__name__} needs a value for {name}")
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**({name: getattr(self, name) for name in self.__match_args__} | changes))

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} is never changed; make another with but()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} is never changed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"
