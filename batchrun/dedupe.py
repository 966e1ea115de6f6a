"""Equal requests are sent once: the first row leads, those that ask the same meanwhile wait for its answer.

A row that waits holds its place among the live rows and nothing else: no worker, no slot, no quota. A leader that ends
without an answer hands the lead to the row that has waited longest.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import anyio

from batchrun.bedrock.body import digest_of
from batchrun.clock import Clock
from batchrun.errors import StorageError
from batchrun.lanes.gate import Gate, GateClosedError
from batchrun.lanes.trial import Trial
from batchrun.outcomes import finished_at
from batchrun.records import Outcome, Status
from batchrun.screen.tally import Tally
from batchrun.storage.known_answers import KnownAnswers
from batchrun.storage.ranges import Range

# What any number of rows may have: an answer, also one that was cut or refused, since the same call would end alike.
# An error, or an answer that did not fit its schema, may be another the next time.
_SHARED = frozenset({Status.OK, Status.TRUNCATED, Status.REFUSED})


def shareable(outcome: Outcome) -> bool:
    """Tell whether a row's outcome may be that of every row that asks the same."""
    return outcome.status in _SHARED and outcome.error_code is None


class Sender(Protocol):
    """What takes one row to its outcome."""

    async def attempt(self, trial: Trial) -> Outcome | None:
        """Send a row; None means that it goes on with further attempts."""

    async def until_outcome(self, trial: Trial) -> Outcome:
        """Take a row to its outcome."""


class _Flight:
    """A request that is out: who waits for its answer, and the answer."""

    __slots__ = ("answer", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[anyio.Event] = deque()
        self.answer: Outcome | None = None


class Dedupe:
    """Sends the first of equal requests through another sender, and gives its answer to the others."""

    def __init__(self, sender: Sender, answers: KnownAnswers, gate: Gate, clock: Clock, tally: Tally) -> None:
        self._sender = sender
        self._gate = gate
        self._answers = answers
        self._clock = clock
        self._saved = tally.saved
        self._flights: dict[bytes, _Flight] = {}
        self._leading: dict[int, bytes] = {}  # rows that are out, by what they ask

    def __repr__(self) -> str:
        return f"Dedupe({len(self._leading)} rows lead, {self._saved.rows} rows saved)"

    async def attempt(self, trial: Trial) -> Outcome | None:
        """Send a row, or answer it from what is known; None means that it waits, or is to be tried again."""
        digest = digest_of(trial.request)
        if (known := self._known(digest)) is not None:
            return self._shared(known, trial)
        if digest in self._flights:
            return None
        self._flights[digest] = _Flight()
        return await self._lead(digest, trial, self._sender.attempt)

    async def until_outcome(self, trial: Trial) -> Outcome:
        """Take a row to its outcome: one that led before, or one that waits for the row that asks the same."""
        digest = self._leading.get(trial.request.row)
        if digest is None:
            digest = digest_of(trial.request)
            if (known := await self._wait(digest)) is not None:
                return self._shared(known, trial)
            outcome = await self._lead(digest, trial, self._sender.attempt)
            if outcome is not None:
                return outcome
        ended = await self._lead(digest, trial, self._sender.until_outcome)
        assert ended is not None, "further attempts end with an outcome"
        return ended

    def recorded(self, outcome: Outcome) -> None:
        """Pass on what a leader's row came to; its log has it.

        Raises StorageError if the answer cannot be kept.
        """
        digest = self._leading.pop(outcome.row, None)
        if digest is None:
            return
        if not shareable(outcome):
            self._hand_on(digest)
            return
        flight = self._flights.pop(digest)
        flight.answer = outcome
        for waiting in flight.waiting:
            waiting.set()
        self._answers.put(digest, outcome)

    def range_is_whole(self, of: Range) -> None:
        """Note that a range is about to become a part.

        Raises StorageError if that cannot be written.
        """
        self._answers.range_is_whole(of.number)

    async def _lead(
        self, digest: bytes, trial: Trial, send: Callable[[Trial], Awaitable[Outcome | None]]
    ) -> Outcome | None:
        row = trial.request.row
        self._leading[row] = digest
        try:
            return await send(trial)
        except BaseException:  # the run ends: the next in line finds that out by itself
            del self._leading[row]
            self._hand_on(digest)
            raise

    async def _wait(self, digest: bytes) -> Outcome | None:
        """Return the answer to `digest`, or None: the caller leads from now on."""
        flight = self._flights.get(digest)
        if flight is None:  # it ended before this row came to wait
            if (known := self._known(digest)) is not None:
                return known
            self._flights[digest] = _Flight()
            return None
        turn = anyio.Event()
        flight.waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn in flight.waiting:
                flight.waiting.remove(turn)
            elif flight.answer is None:
                self._hand_on(digest)
            raise
        return flight.answer

    def _known(self, digest: bytes) -> Outcome | None:
        try:
            return self._answers.get(digest)
        except StorageError as error:
            self._gate.close(error)
            raise GateClosedError from error

    def _hand_on(self, digest: bytes) -> None:
        """Give the lead to the row that has waited longest, if one has."""
        flight = self._flights[digest]
        if flight.waiting:
            flight.waiting.popleft().set()
        else:
            del self._flights[digest]

    def _shared(self, known: Outcome, trial: Trial) -> Outcome:
        """Return the outcome of a row that another one's answer is for: it was not sent and costs nothing."""
        self._saved.add(known)
        return replace(
            known,
            row=trial.request.row,
            cost_usd=trial.cost_usd,  # of calls that earlier starts made for it, if any
            attempts=trial.earlier_attempts,
            latency_s=None,
            finished_at=finished_at(self._clock),
        )
