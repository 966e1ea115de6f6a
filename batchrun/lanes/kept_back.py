"""Rows kept back: those that wait until the prefix that they share is written to a lane, while others pass them."""

from collections.abc import Iterator, Set
from math import inf
from typing import Generic, TypeVar

Keys = tuple[bytes, ...]
Row = TypeVar("Row")


class _Group(Generic[Row]):
    """Rows that wait for the same prefixes, until then or a time [s]."""

    __slots__ = ("at_s", "rows")

    def __init__(self) -> None:
        self.at_s = inf
        self.rows: list[Row] = []


class KeptBack(Generic[Row]):
    """Groups of rows by the prefixes that they wait for."""

    def __init__(self) -> None:
        self._groups: dict[Keys, _Group[Row]] = {}

    def __len__(self) -> int:
        return sum(len(group.rows) for group in self._groups.values())

    def __iter__(self) -> Iterator[Row]:
        for group in self._groups.values():
            yield from group.rows

    def add(self, row: Row, keys: Keys, at_s: float) -> None:
        """Keep a row back until something has changed for one of its prefixes, or until a time."""
        group = self._groups.setdefault(keys, _Group())
        group.rows.append(row)
        group.at_s = min(group.at_s, at_s)

    def call_back(self, changed: Set[bytes], now_s: float) -> list[Row]:
        """Take out those for whose prefixes something has changed, and those whose time has come."""
        called: list[Row] = []
        for keys, group in list(self._groups.items()):
            if group.at_s <= now_s or not changed.isdisjoint(keys):
                del self._groups[keys]
                called += group.rows
        return called

    def discard(self, row: Row) -> None:
        """Take a row out, if it is here."""
        for keys, group in list(self._groups.items()):
            group.rows = [other for other in group.rows if other is not row]
            if not group.rows:
                del self._groups[keys]

    def first_at_s(self) -> float:
        """Return when the first of them is to be asked again [s]."""
        return min((group.at_s for group in self._groups.values()), default=inf)

    def clear(self) -> None:
        """Forget all of them."""
        self._groups.clear()
