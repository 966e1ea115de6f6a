"""Outcomes: what a row ends with, by its last answer or its last fault, and what it has been through before."""

from dataclasses import replace

from batchrun.assessment import MISFIT, PLAIN, Assessment, status_of
from batchrun.bedrock.faults import Action, Fault
from batchrun.clock import Clock
from batchrun.lanes.lane import Lane
from batchrun.lanes.trial import Trial
from batchrun.records import Completion, Outcome, Spent, Status


class Outcomes:
    """Makes them; `assessment` is what the job wants of its answers."""

    def __init__(self, clock: Clock, assessment: Assessment = PLAIN) -> None:
        self.assessment = assessment
        self._clock = clock

    def answered(self, trial: Trial, lane: Lane, answer: Completion, latency_s: float | None) -> Outcome:
        """Return the outcome of a row that was answered, though perhaps not as its schema asks."""
        return Outcome(
            row=trial.request.row,
            status=status_of(answer) if trial.misfit is None else Status.INVALID,
            text=answer.text,
            stop_reason=answer.stop_reason,
            usage=answer.usage,
            service_tier=answer.service_tier,
            latency_s=latency_s,
            request_id=answer.request_id,
            cost_usd=trial.cost_usd,
            endpoint=lane.endpoint,
            inference_id=lane.inference_id,
            source_region=lane.source_region,
            attempts=trial.earlier_attempts + trial.attempts,
            error_code=MISFIT if trial.misfit is not None else None,
            error_message=trial.misfit,
            finished_at=finished_at(self._clock),
            thinking=answer.thinking if self.assessment.keep_thinking else None,
            tool_calls=answer.tool_calls,
        )

    def failed(self, trial: Trial, lane: Lane, fault: Fault, largest_hold: float, *, unsendable: bool) -> Outcome:
        """Return the outcome of a row that gets no answer any more; `largest_hold` is the largest ever admitted."""
        message = fault.message
        if trial.rested_throttles and unsendable and fault.action is Action.TOKENS:
            message = (
                f"never fits any pool: {trial.rested_throttles} tries on rested pools were throttled; the row holds "
                f"{trial.request.hold} quota tokens, the largest hold ever admitted is "
                f"{largest_hold:.0f} ({fault.message})"
            )
        if trial.kept is not None:  # an answer that was cut or did not fit is better than none, and it is paid for
            outcome = self.answered(trial, *trial.kept, latency_s=None)
            return replace(outcome, error_code=fault.code, error_message=message)
        return Outcome(
            row=trial.request.row,
            status=Status.UNSENDABLE if unsendable else Status.FAILED,
            error_code=fault.code,
            error_message=message,
            cost_usd=trial.cost_usd,
            endpoint=lane.endpoint,
            inference_id=lane.inference_id,
            source_region=lane.source_region,
            attempts=trial.earlier_attempts + trial.attempts,
            finished_at=finished_at(self._clock),
        )


def unrendered(row: int, message: str, clock: Clock, earlier: Spent) -> Outcome:
    """Return the outcome of a row that never became a request, at least not this time."""
    return Outcome(
        row,
        Status.UNSENDABLE,
        cost_usd=earlier.usd,
        attempts=earlier.attempts,
        error_code="RowError",
        error_message=message,
        finished_at=finished_at(clock),
    )


def finished_at(clock: Clock) -> str:
    """Return the time now as results carry it: ISO 8601, to the millisecond."""
    return clock.today().isoformat(timespec="milliseconds")
