"""Known answers brought in step with logs and parts at a start: what a kill took of them, or all of them anew."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any

from batchrun.backlog import Span
from batchrun.bedrock.body import digest_of
from batchrun.cells import rows_of
from batchrun.dedupe import shareable
from batchrun.readyjob import ReadyJob
from batchrun.records import Outcome
from batchrun.render import RowError
from batchrun.requesting import Requests
from batchrun.storage.known_answers import NAME, KnownAnswers
from batchrun.storage.manifest import read_manifest
from batchrun.storage.output import Output
from batchrun.storage.ranges import Range
from batchrun.storage.source import Source

TELL_EVERY_S = 30.0  # as often as progress in a log


def known_answers(ready: ReadyJob, source: Source, output: Output, tell: Callable[[str], None]) -> KnownAnswers:
    """Open the answers that an output has; meant for a thread.

    An answer whose row has no outcome any more is dropped: the row is to be sent. Rows that were answered and are not
    here are rendered again to know what they asked, which takes about as long as reading them; `tell` is told of whole
    parts of them, and every half minute of how far it has come.
    Raises StorageError or InputError if that cannot be done.
    """
    answers = KnownAnswers(output.target.store.wal, output.target.run_id)
    try:
        whole = set(answers.whole_ranges())
        changed = _changed(output)
        progress = _Progress(
            sum(of.rows for of in output.ranges if output.is_part(of) and of.number not in whole), tell
        )
        for of in output.ranges:
            if output.is_part(of):
                if of.number not in whole:
                    _take_in(ready, source, answers, of, _unknown(output, of, answers, changed))
                    answers.range_is_whole(of.number)
                    progress.passed(of.rows)
                continue
            answers.forget(row for row in answers.rows_of(of) if not output.has(row))
            if not output.begins(of.first_row):
                _take_in(ready, source, answers, of, _unknown(output, of, answers, changed))
        answers.commit()
    except BaseException:
        answers.close()
        raise
    return answers


class _Progress:
    """Tells how far the rows of finished parts are rendered again: at once, and every half minute."""

    def __init__(self, rows: int, tell: Callable[[str], None]) -> None:
        self._rows = rows
        self._done = 0
        self._tell = tell
        self._told_s = time.monotonic()
        if rows:
            tell(f"dedupe: the answers of {rows:,} finished rows are not in {NAME}; they are looked up before a call")

    def passed(self, rows: int) -> None:
        self._done += rows
        if time.monotonic() >= self._told_s + TELL_EVERY_S:
            self._told_s = time.monotonic()
            self._tell(f"dedupe: {self._done:,} of {self._rows:,} rows looked up")


def _unknown(output: Output, of: Range, answers: KnownAnswers, changed: Sequence[Span]) -> Iterator[Outcome]:
    """Yield the outcomes of a range that others may share and that are not among the answers, in row order.

    A row of a file whose change was accepted does not say any more what its answer was given to.
    """
    there = answers.rows_of(of)
    for outcome in output.outcomes_in(of):
        lost = outcome.row not in there and outcome.attempts and shareable(outcome)
        if lost and not any(first_row <= outcome.row < stop_row for first_row, stop_row in changed):
            yield outcome


def _take_in(ready: ReadyJob, source: Source, answers: KnownAnswers, of: Range, outcomes: Iterator[Outcome]) -> None:
    """Render the rows of these outcomes, which are in row order, and keep each answer by what was asked."""
    outcome = next(outcomes, None)
    if outcome is None:
        return
    requests = Requests(ready.sampling, ready.card.request_bytes)
    for batch in source.read(ready.renderer.columns, outcome.row, of.stop_row):
        for row, cells in enumerate(rows_of(batch.batch), batch.first_row):
            if row != outcome.row:
                continue
            # A row that was answered can be rendered; if not, by a newer Jinja, say, nobody shares its answer.
            with suppress(RowError):
                if not isinstance(cells, str):
                    answers.put(_digest(ready, requests, row, cells), outcome)
            outcome = next(outcomes, None)
            if outcome is None:
                return


def _digest(ready: ReadyJob, requests: Requests, row: int, cells: Mapping[str, Any]) -> bytes:
    return digest_of(requests.request(row, ready.renderer.prompt(cells, ready.renderer.images(cells))))


def _changed(output: Output) -> list[Span]:
    """Return the rows of the input files whose change or absence was accepted, once or now."""
    manifest = read_manifest(output.target.store)
    stops = list(accumulate(file.rows for file in manifest.files))
    return [
        (stop_row - file.rows, stop_row)
        for file, stop_row in zip(manifest.files, stops, strict=True)
        if file.name in manifest.accepted
    ]
