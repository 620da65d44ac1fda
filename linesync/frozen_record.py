"""Frozen records: like dataclasses with ``frozen`` and ``slots``, but without their cost at start-up.

A standard dataclass generates and compiles methods for each class, which takes half a millisecond, and imports ``inspect``.
linesync has about sixty such classes. A command of thirty milliseconds would therefore need another fifty milliseconds. A
record is declared in the same way, and type checkers see a dataclass. All records share the methods of this module.
"""

from __future__ import annotations

TYPE_CHECKING = False  # the import of typing would take a tenth of the time of a small command
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """Tell type checkers that a class is declared like a dataclass."""
        return lambda cls: cls


__all__ = ["MISSING", "Record"]

MISSING: Any = object()
"""The default of a field without a default."""


class _RecordType(type):
    """The metaclass of records: makes slots from annotations, and keeps the names, types and defaults of the fields."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> _RecordType:
        kinds = dict(getattr(bases[0], "FIELDS", {})) if bases else {}
        own = {
            field: (kind, space.pop(field, MISSING))
            for field, kind in space.get("__annotations__", {}).items()
            if "ClassVar" not in str(kind)  # compiled modules keep the type itself, not its text
        }
        kinds |= own
        space["__slots__"] = tuple(own)
        space["__match_args__"] = tuple(kinds)
        space["FIELDS"] = kinds
        return super().__new__(mcs, name, bases, space)


@dataclass_transform(frozen_default=True, eq_default=True)
class Record(metaclass=_RecordType):
    """The base class of all records. Fields are set by position or by name; a field without a default is required."""

    FIELDS: ClassVar[dict[str, tuple[str, Any]]]
    """The fields in order: for each name, the type as a text, and the default or MISSING."""
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
        """Make a copy with some fields changed."""
        return type(self)(**({name: getattr(self, name) for name in self.__match_args__} | changes))

    def as_dict(self) -> dict[str, Any]:
        """The values of the fields by name."""
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed; make a copy with but()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a {type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and type(other) is type(self) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"
