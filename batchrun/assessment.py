"""What an answer is worth: its status by its stop reason, and whether it fits what the job asked for."""

from dataclasses import dataclass
from typing import Protocol

from batchrun.records import Completion, Status

CUT = "max_tokens"
# What a stop reason says of an answer; any other is a refusal: of the model, a filter or a guardrail.
STATUS_OF = {
    "end_turn": Status.OK,
    "stop_sequence": Status.OK,
    "tool_use": Status.OK,
    CUT: Status.TRUNCATED,
    "model_context_window_exceeded": Status.TRUNCATED,  # cut as well, by the context instead of max_tokens
    "malformed_model_output": Status.INVALID,
    "malformed_tool_use": Status.INVALID,
}
MORE_FOR_A_MISFIT = 2  # calls for an answer that does not fit, each paid; a choice
MISFIT = "InvalidAnswer"


def status_of(answer: Completion) -> Status:
    """Return what the stop reason alone says of an answer."""
    return STATUS_OF.get(answer.stop_reason, Status.REFUSED)


class Judge(Protocol):
    """Tells what is wrong with an answer, None if nothing is."""

    def problem(self, answer: str) -> str | None:
        """Return what is wrong, in words that hold nothing of the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a job wants of its answers: that they fit its schema, if it has one, and whether the reasoning is kept."""

    judge: Judge | None = None
    keep_thinking: bool = False

    def misfit(self, answer: Completion) -> str | None:
        """Return why an answer does not fit, None if it does, or is none."""
        status = status_of(answer)
        if status is Status.INVALID:
            return f"the model's output is malformed: {answer.stop_reason}"
        if self.judge is None or status is not Status.OK:
            return None
        return self.judge.problem(answer.text)


PLAIN = Assessment()
