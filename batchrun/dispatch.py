"""One row's way to its outcome: admitted, sent, settled, and again until there is an answer or no point in more."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Protocol

import anyio

from batchrun.assessment import CUT, MORE_FOR_A_MISFIT
from batchrun.bedrock.faults import Action, Fault
from batchrun.bedrock.renewal import Renewal
from batchrun.bedrock.transport import Transport
from batchrun.errors import AccessError, BatchrunError, StorageError
from batchrun.lanes.admission import Admission, Next
from batchrun.lanes.gate import Gate, GateClosedError
from batchrun.lanes.lane import Lane
from batchrun.lanes.retry import retrying
from batchrun.lanes.trial import Trial
from batchrun.outcomes import Outcomes
from batchrun.records import Completion, Outcome, Prompt
from batchrun.redaction import without_credentials, without_echo
from batchrun.screen.tally import Tally


class Journal(Protocol):
    """Where calls are written down before they go out."""

    def sent(self, row: int, worst_usd: float) -> None:
        """Note that a call goes out that may cost up to `worst_usd`."""
        ...

    def unsettled(self, row: int, worst_usd: float) -> None:
        """Note that it ended without an answer, and what it may have been billed all the same: 0 for a refusal."""
        ...

    def paid(self, row: int, spent_usd: float) -> None:
        """Note what its answer cost, which is not the row's last; the outcome's cost will contain it."""
        ...


class Dispatch:
    """Takes requests to outcomes over gate and transport."""

    def __init__(
        self,
        gate: Gate,
        transports: Mapping[str, Transport],
        outcomes: Outcomes,
        journal: Journal,
        tally: Tally,
        chance: Random,
    ) -> None:
        """Take the gate, what carries the calls of each access, what makes outcomes, and where all is noted."""
        self._gate = gate
        self._admissions = gate.admissions
        self._max_tokens = gate.admissions.budgets.max_tokens
        self._transports = transports
        self._clock = gate.clock
        self._outcomes = outcomes
        self._journal = journal
        self._tally = tally
        self._chance = chance
        self._renewals = {access: Renewal(transport) for access, transport in transports.items()}

    async def attempt(self, trial: Trial) -> Outcome | None:
        """Send a row; None means that it failed and should be tried again after a back-off.

        Raises GateClosedError if admission ends before the row was sent.
        """
        while True:
            admission = await self._gate.wait_until_admitted(trial)
            renewal = self._renewals[admission.lane.access]
            generation = renewal.generation
            answer = await self._call(admission, trial)
            if isinstance(answer, Completion):
                renewal.answered(generation, admission.lane.source_region)
                if not self._book_answer(admission, trial, answer):
                    continue  # at once, a cut one with more; its row number puts it first
                self._gate.admit_ready()
                return self._outcomes.answered(trial, admission.lane, answer, self._clock.now_s() - admission.sent_at_s)
            following = self._book_fault(admission, trial, answer)
            if following is Next.REFRESH:
                following = await self._renew(generation, admission.lane, answer)
            if following is Next.STOP:
                self._gate.close(AccessError(_no_access(admission.lane, answer)))
            elif following is Next.RETRY:
                return None
            elif following is not Next.ELSEWHERE:
                largest_hold = self._admissions.router.largest_admitted()
                unsendable = following is Next.UNSENDABLE
                return self._outcomes.failed(trial, admission.lane, answer, largest_hold, unsendable=unsendable)

    async def until_outcome(self, trial: Trial) -> Outcome:
        """Take a row that failed once to its outcome, with a back-off before every attempt."""
        bare = True

        async def again() -> Outcome | None:
            nonlocal bare
            if bare:  # the first attempt was made before tenacity was asked; this stands for it
                bare = False
                return None
            return await self.attempt(trial)

        outcome: Outcome = await retrying(self._sleep, self._chance)(again)  # it goes on until there is one
        return outcome

    async def _sleep(self, delay_s: float) -> None:
        """Wait, holding nothing; a closed gate ends it at once."""
        with anyio.move_on_after(delay_s):
            await self._gate.closed.wait()
            raise GateClosedError

    async def _call(self, admission: Admission, trial: Trial) -> Completion | Fault:
        lane = admission.lane
        try:
            self._journal.sent(trial.request.row, admission.worst_usd)
            if self._max_tokens is not None:
                self._max_tokens.sent(trial, admission.sent_at_s)
            answer = await self._transports[lane.access].send(lane.inference_id, lane.source_region, trial.request)
            return answer if isinstance(answer, Completion) else _told(answer, trial.request.prompt)
        except anyio.get_cancelled_exc_class():
            self._admissions.abandoned(admission, self._clock.now_s())
            raise
        except (OSError, BatchrunError) as error:  # the log cannot be written, or no credentials are to be had
            self._admissions.withdrawn(admission, self._clock.now_s())
            raise self._ended(error) from error

    def _book_answer(self, admission: Admission, trial: Trial, answer: Completion) -> bool:
        """Settle an answered call; return whether its answer is the row's last: not cut below the ceiling, and fit."""
        now_s = self._clock.now_s()
        spent_usd = self._admissions.answered(admission, trial, answer.usage, now_s)
        self._tally.answered(admission.lane)
        if self._tally.cache is not None:
            self._tally.cached(answer.usage, self._admissions.saved_usd(answer.usage, admission.lane))
        trial.misfit = None
        if self._max_tokens is not None:
            if answer.stop_reason == CUT and self._max_tokens.cut(trial):
                self._tally.sent_again.add(spent_usd, first=trial.cuts == 1)
                self._keep_for_now(admission.lane, trial, answer, spent_usd)
                return False
            self._max_tokens.whole(trial, answer.usage.output, now_s)
        trial.misfit = self._outcomes.assessment.misfit(answer)
        if trial.misfit is None or trial.misfits >= MORE_FOR_A_MISFIT:
            return True
        trial.misfits += 1
        self._tally.misfits.add(spent_usd, first=trial.misfits == 1)
        self._keep_for_now(admission.lane, trial, answer, spent_usd)
        return False

    def _keep_for_now(self, lane: Lane, trial: Trial, answer: Completion, spent_usd: float) -> None:
        trial.kept = lane, answer
        try:
            self._journal.paid(trial.request.row, spent_usd)
        except OSError as error:
            raise self._ended(error) from error

    def _book_fault(self, admission: Admission, trial: Trial, fault: Fault) -> Next:
        following = self._admissions.faulted(admission, trial, fault, self._clock.now_s())
        self._tally.faulted(admission.lane, fault)
        if fault.action is Action.RUN and following is Next.ELSEWHERE:
            self._note_lost(admission.lane, f"{fault.code}: {fault.message}")
        if self._max_tokens is not None:
            self._max_tokens.faulted(trial)
        try:
            self._journal.unsettled(trial.request.row, admission.worst_usd if fault.maybe_billed else 0.0)
        except OSError as error:
            raise self._ended(error) from error
        self._gate.admit_ready()
        return following

    async def _renew(self, generation: int, lane: Lane, fault: Fault) -> Next:
        region = lane.source_region if fault.action is Action.REGION else None
        try:
            renewed = await self._renewals[lane.access].renew(generation, region)
        except BatchrunError as error:
            if self._lost_access(lane, str(error)) is Next.STOP:
                raise self._ended(error) from error
            return Next.ELSEWHERE
        if renewed:
            self._tally.note_once(f"credentials read again after {fault.code}")
            return Next.ELSEWHERE
        if region is None:
            return self._lost_access(lane, f"{fault.code}: {fault.message}")
        return self._admissions.lost(lane, fault)

    def _lost_access(self, lane: Lane, why: str) -> Next:
        following = self._admissions.lost_access(lane, why)
        if following is Next.ELSEWHERE:
            self._note_lost(lane, why)
        return following

    def _note_lost(self, lane: Lane, why: str) -> None:
        whose = lane.access or "the job's own credentials"
        self._tally.note_once(f"the lanes of {whose} are closed, the others go on: {without_credentials(why)}")

    def _ended(self, error: OSError | BatchrunError) -> GateClosedError:
        """Close the gate for an error that no row can get past; return what its row leaves with."""
        if isinstance(error, OSError):
            error = StorageError(f"the write-ahead log cannot be written: {error}")
        self._gate.close(error)
        return GateClosedError()


def _no_access(lane: Lane, fault: Fault) -> str:
    """Say what keeps every call out, and what to do about it."""
    said = f"{lane.name}: {fault.code}: {fault.message.rstrip('. ')}"
    if fault.action in {Action.REFRESH, Action.REGION}:
        said += "; the credentials were read again and are refused too"
    elif fault.code != "NoCredentials":
        return said
    if "signature" in fault.message.lower():
        said += "; it is made with this machine's clock, which may be wrong"
    return (
        f"{said}. Renew the credentials (aws sso login, a new session token or Bedrock key) and run the same command "
        "again: it goes on where this run stopped"
    )


def _told(fault: Fault, prompt: Prompt) -> Fault:
    """Return a fault as it may be passed on: what was sent stays out of summaries and logs."""
    texts = [prompt.system or "", *(text for message in prompt.messages for text in message.texts)]
    return replace(fault, message=without_echo(without_credentials(fault.message), texts))
