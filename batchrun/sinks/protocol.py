"""What a sink is: it takes whole parts, each exactly once, and knows itself which it holds."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

from batchrun.jobspec.sinks import SinkTable
from batchrun.sinks.part import Part


class Sink(Protocol):
    """One session with a destination, from its making to `close`; used by one thread at a time.

    Making one must not touch the destination. Any exception of the two methods below means that the destination is
    down or refuses: the session is closed, and a new one begins later with `versions`. A kill may come at any moment,
    so that the destination must never show a piece of a part, or a part twice, to those who read it.
    """

    Table: ClassVar[type[SinkTable]]  # the keys of its [[sink]] table

    def __init__(self, table: Any) -> None: ...

    def versions(self, run_id: str, numbers: Iterable[int]) -> Mapping[int, int]:
        """Return the version of each part of `numbers` that the destination holds; the others are left out.

        Nothing is written. The answer comes from the destination's own store, where `deliver` put it in one
        transaction with the rows, or after them if delivering the part again replaces them.
        Raises SinkError if the destination holds anything else than parts of the run `run_id`.
        """

    def deliver(self, part: Part) -> None:
        """Take a part; its rows replace those of an older version. On return it is safe, and `versions` tells it."""

    def close(self) -> None:
        """Let go of connections and files; also after an error, and without ever having connected."""
