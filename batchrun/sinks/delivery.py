"""One sink of a job: what it lacks, and the next part for it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from batchrun.errors import BatchrunError, SinkError
from batchrun.jobspec.sinks import SinkTable
from batchrun.sinks.part import FinishedParts, Part
from batchrun.sinks.protocol import Sink
from batchrun.sinks.registry import make_sink

NUMBERS_SHOWN = 10
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # libraries paint their errors for a terminal; a summary is none


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a sink is behind: of `parts` parts, the numbers it lacks and those it holds another version of.

    A sink that was never reached (`asked` is False) counts as lacking all of them. `error` is its last one.
    """

    label: str
    parts: int
    lacks: tuple[int, ...]
    outdated: tuple[int, ...]
    asked: bool
    error: str | None

    @property
    def outstanding(self) -> int:
        """Return how many parts are to be delivered."""
        return len(self.lacks) + len(self.outdated)

    @property
    def is_behind(self) -> bool:
        """Tell whether the sink said itself that it lacks something; one that cannot be asked may hold everything."""
        return self.asked and self.outstanding > 0

    def record(self) -> dict[str, Any]:
        """Return what a summary says of the sink, in parts."""
        return {"name": self.label, "delivered": self.parts - self.outstanding, "outstanding": self.outstanding}

    def line(self) -> str | None:
        """Say what is wrong and what to do, None where the sink is in step."""
        if not self.outstanding:
            return None
        told = [f"lacks {_parts(self.lacks)}"] if self.lacks else []
        told += [f"holds another version of {_parts(self.outdated)}"] if self.outdated else []
        told = told if self.asked else [f"cannot be asked about {_parts(self.lacks)}"]
        why = f" ({self.error})" if self.error is not None else ""
        return f"sink {self.label}: {' and '.join(told)}{why}: batchrun sink JOB"


def lag_lines(tables: Iterable[SinkTable], folder: FinishedParts) -> list[str]:
    """Ask each sink whether it holds all the parts of a folder; return a line for each that does not.

    Raises StorageError if the folder holds what is no part of its run.
    """
    lags = []
    for table in tables:
        sink = Delivery(table, folder)
        lags.append(sink.ask())
        sink.close()
    return [line for lag in lags if (line := lag.line())]


class Delivery:
    """Delivers the parts of one output to one sink, a part at a time; its methods wait, so they want a thread."""

    def __init__(self, table: SinkTable, folder: FinishedParts) -> None:
        self.label = table.label
        self.delivered = 0  # parts, since this was made
        self.error: str | None = None  # of the last step, None if it went well
        self._table = table
        self._folder = folder
        self._session: Sink | None = None
        self._held: dict[int, int] | None = None  # by what the sink said last and what it took since
        self._failures: Counter[int] = Counter()  # by part
        # A step that was given up on may still go on in its thread.
        self._one_at_a_time = Lock()

    def __repr__(self) -> str:
        return f"Delivery({self.label}, {len(self._held or {})} parts held)"

    def step(self) -> bool:
        """Deliver a part that is outstanding, those that failed least first; return False if there is none.

        Raises SinkError if the sink is down or refuses; the next step begins anew with what the sink says it holds.
        """
        with self._one_at_a_time:
            try:
                session, held, part = self._next()
                if part is not None:
                    self._deliver(session, part)
                    held[part.number] = part.version
                    self.delivered += 1
            except Exception as error:
                self._end_session()
                self.error = _said(error)
                raise SinkError(f"sink {self.label}: {self.error}") from error
            self.error = None
            return part is not None

    def lag(self) -> Lag:
        """Return how far the sink is behind by what is known of it."""
        parts, held = self._folder.parts(), self._held or {}
        lacks = tuple(number for number in parts if number not in held)
        outdated = tuple(number for number, part in parts.items() if held.get(number, part.version) != part.version)
        return Lag(self.label, len(parts), lacks, outdated, self._held is not None, self.error)

    def ask(self) -> Lag:
        """Ask the sink itself how far it is behind; nothing is written."""
        with self._one_at_a_time:
            parts = self._folder.parts()
            try:
                self._open(parts)
            except Exception as error:  # noqa: BLE001 - whatever a sink may raise, others can still be asked
                self._end_session()
                self.error = _said(error)
        return self.lag()

    def close(self) -> None:
        """End the session, unless a step that was given up on still holds it."""
        if self._one_at_a_time.acquire(blocking=False):
            try:
                self._end_session()
            finally:
                self._one_at_a_time.release()

    def _next(self) -> tuple[Sink, dict[int, int], Part | None]:
        parts = self._folder.parts()
        session, held = self._open(parts)
        outstanding = [part for part in parts.values() if held.get(part.number) != part.version]
        # One that the sink will not have, whatever is wrong with it, must not keep the others back.
        return session, held, min(outstanding, key=lambda part: self._failures[part.number], default=None)

    def _open(self, parts: Mapping[int, Part]) -> tuple[Sink, dict[int, int]]:
        if self._session is None:
            self._session = make_sink(self._table)
            self._held = None
        if self._held is None:
            self._held = dict(self._session.versions(self._folder.run_id, list(parts)))
        return self._session, self._held

    def _deliver(self, session: Sink, part: Part) -> None:
        try:
            session.deliver(part)
        except Exception as error:
            self._failures[part.number] += 1
            error.add_note(f"part {part.number}")
            raise

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception:  # noqa: BLE001 - a connection that is gone cannot be closed in order, and need not be
                pass


def _said(error: Exception) -> str:
    """Return what a sink raised on one line, with the part that it was about."""
    text = " ".join(COLOUR.sub("", str(error)).split()) or type(error).__name__
    named = text if isinstance(error, BatchrunError) else f"{type(error).__name__}: {text}"
    return ": ".join([*getattr(error, "__notes__", ()), named])


def _parts(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(str(number) for number in numbers[:NUMBERS_SHOWN])
    more = ", …" if len(numbers) > NUMBERS_SHOWN else ""
    return f"{len(numbers):,} part{'s' if len(numbers) != 1 else ''} ({shown}{more})"
