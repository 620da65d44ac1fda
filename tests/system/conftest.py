"""Worlds that are closed at the end of their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .world import World


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    """A function that makes worlds. They are closed at the end of the test."""
    worlds: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        worlds.append(World(*arguments, **options))
        return worlds[-1]

    yield make
    for world in reversed(worlds):
        world.close()
