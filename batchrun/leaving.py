"""Leaving: what a start of a run leaves behind, its summary, the last status, and _SUCCESS last of all."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from batchrun.assembly import Ground
from batchrun.backlog import Span
from batchrun.delivering import still_holds, success
from batchrun.errors import BatchrunError, HurriedError, LockedError, StorageError
from batchrun.forecast.hindsight import hindsight
from batchrun.forecast.probe import probe_record
from batchrun.lanes.gate import Gate
from batchrun.readyjob import ReadyJob
from batchrun.screen.answers import Allowed
from batchrun.screen.progress import Progress
from batchrun.screen.summary import Verdict, run_summary
from batchrun.sinks.deliveries import Deliveries
from batchrun.sinks.delivery import Lag
from batchrun.storage.files import as_json
from batchrun.storage.output import Output
from batchrun.storage.store import SUCCESS, SUMMARY, Hold, Store
from batchrun.verdict import probe_verdict, run_verdict


@dataclass(frozen=True, slots=True)
class Ended:
    """How far a start of a run came; without a `gate` it sent nothing."""

    output: Output
    deliveries: Deliveries
    forecast: dict[str, Any] | None  # of a probe before
    gate: Gate | None = None
    spans: Sequence[Span] | None = None  # what a probe might send
    stopped: BatchrunError | None = None  # why it ended early


class Leaving:
    """The end of a start over an output that it holds the lock of; its CPU time counts from the making of this."""

    def __init__(self, ground: Ground, store: Store, held: Hold) -> None:
        self._ground = ground
        self._store = store
        self._held = held
        self._cpu_began_s = time.process_time()

    def leave(self, ended: Ended) -> dict[str, Any]:
        """Write what is to stay of a start, and return its summary; meant for a thread beside the event loop."""
        output, lags = ended.output, ended.deliveries.lags()
        verdict, probed = run_verdict(self._ground.ready, output, ended.stopped, lags), None
        if ended.spans is not None:
            probed = self._probed(output, ended.spans)
            if not output.finished and ended.stopped is None:
                verdict = probe_verdict(self._ground.ready, probed)
        ours = True
        try:
            self._held.renew()
        except (LockedError, StorageError) as error:
            ours = False  # these are another run's files by now, or nobody can write them
            if isinstance(error, LockedError) or verdict.exit_code == 0:
                verdict = Verdict(error.exit_code, str(error))
        summary = self._summary(verdict, ended, probed)
        if lags:
            summary["sinks"] = [lag.record() for lag in lags]
        if ours:
            with suppress(HurriedError):
                self._write(summary, verdict, ended, lags)
        return summary

    def _probed(self, output: Output, spans: Sequence[Span]) -> dict[str, Any]:
        ready = self._ground.ready
        return probe_record(ready, output, ready.rows_wanted(self._ground.source), spans)

    def _summary(self, verdict: Verdict, ended: Ended, probed: Mapping[str, Any] | None) -> dict[str, Any]:
        ground, output, gate = self._ground, ended.output, ended.gate
        ground.tally.end(ground.clock.now_s(), cpu_s=time.process_time() - self._cpu_began_s)
        if gate is not None and (shared := gate.admissions.sharing.note()):
            ground.tally.note_once(shared)
        pools = gate.admissions.router.pools.values() if gate is not None else ()
        summary = run_summary(verdict, output, ground.tally, pools, _allowed(ground.ready, gate))
        forecast = ended.forecast
        if probed is not None:
            summary["probe"] = probed
            if probed["forecast"] is not None and not output.finished:
                of_rows = probed["rows_left"] + output.totals.rows
                forecast = {"rows": probed["rows"], "of_rows": of_rows, **probed["forecast"]}
        summary["forecast"] = forecast
        if output.finished and gate is not None:
            summary["plan"] = hindsight(ground.ready, ground.source, output.totals, forecast)
        return summary

    def _write(self, summary: Mapping[str, Any], verdict: Verdict, ended: Ended, lags: Sequence[Lag]) -> None:
        store, output, succeeded = self._store, ended.output, ended.output.finished and verdict.exit_code == 0
        whole = run_verdict(self._ground.ready, output, None, lags=()).exit_code == 0
        # A disk that has turned read-only refuses to remove even what is not there.
        if not succeeded and store.exists(SUCCESS) and not (whole and still_holds(store, lags)):
            store.remove(SUCCESS)
        if ended.gate is not None or not store.exists(SUMMARY):  # a start that sent nothing has nothing to tell
            self._write_summary(summary, verdict)
        progress = Progress(ended.gate, output, self._ground.tally, self._ground.clock)
        progress.write(progress.snapshot("finished" if output.finished else "stopped"))
        if succeeded:
            if store.exists(SUCCESS):
                store.read(SUCCESS)  # what is replaced must be known: a late run's must not be
            store.write(SUCCESS, success(output.totals.rows, output.target.run_id, lags))

    def _write_summary(self, summary: Mapping[str, Any], verdict: Verdict) -> None:
        try:
            self._store.write(SUMMARY, as_json(summary))
        except (OSError, StorageError):
            if verdict.exit_code != StorageError.exit_code:  # else what ended the run says more, and is told
                raise


def _allowed(ready: ReadyJob, gate: Gate | None) -> Allowed:
    learning = gate.admissions.budgets.max_tokens if gate is not None else None
    learnt = learning.learnt if learning is not None else None
    return Allowed(ready.longest_answer, ready.output_burndown, not ready.learns_max_tokens, learnt)
