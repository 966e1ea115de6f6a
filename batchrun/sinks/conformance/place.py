"""A destination as its tests see it, and deliveries to it without a run."""

from collections.abc import Iterable
from contextlib import closing
from typing import Any, Protocol

from batchrun.sinks.conformance.parts import RUN
from batchrun.sinks.part import Part
from batchrun.sinks.protocol import Sink


class Place(Protocol):
    """A destination, as its tests see it."""

    def sink(self) -> Sink:
        """Return a new session."""

    def rows(self) -> list[dict[str, Any]]:
        """Read all rows back, by any means but the sink, in any order: at least row, text and the kept columns."""


def deliver(place: Place, parts: Iterable[Part]) -> None:
    """Deliver parts in one session, whatever is held of them."""
    with closing(place.sink()) as sink:
        sink.versions(RUN, [])
        for part in parts:
            sink.deliver(part)


def deliver_outstanding(place: Place, parts: list[Part]) -> None:
    """Deliver what is not held, as the next start after a kill does."""
    held = versions(place, parts)
    deliver(place, [part for part in parts if held.get(part.number) != part.version])


def versions(place: Place, parts: Iterable[Part]) -> dict[int, int]:
    """Ask in a session of its own which versions are held."""
    with closing(place.sink()) as sink:
        return dict(sink.versions(RUN, [part.number for part in parts]))


def texts(place: Place) -> dict[int, str]:
    """Return the answers by row."""
    return {row["row"]: row["text"] for row in place.rows()}
