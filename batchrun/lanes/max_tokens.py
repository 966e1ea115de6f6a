"""max_tokens = "auto": what calls hold for their answers, learnt from how long answers are.

Too much costs quota while a call is in flight: h tokens too many for L seconds are h × L / 60 tokens of the minute. Too
little costs the whole call: its input and 5 × max_tokens of quota, and its dollars, for an answer that is not kept. So
nearly all answers must fit; docs/architecture.md works out which share. Below 5 × the mean answer a smaller hold saves
nothing at all, since a call settles at that: the pool would only run into debt.
"""

from collections import deque
from collections.abc import Iterable
from math import inf

from batchrun.bedrock.body import resized
from batchrun.lanes.lengths import LatestLengths, Measured
from batchrun.lanes.trial import Trial

FIRST = 512  # before anything is known; Haiku's short answers fit, and it holds little
LEAST = 32  # below that a hold saves nothing beside the input
MORE = 4  # times as much for an answer that was cut
LATEST, LONGER = 4_000, 0.01  # answers remembered, and the share of the next that may be longer
RECENT, RECENT_LONGER = 200, 0.02  # the same for a change in the data; the share that may be paid twice
MARGIN = 1.25  # above the length needed: of lognormal answers 0.3-0.6 % are then cut instead of 1 %
EARLY_MARGIN = 3.0  # above the longest answer, while too few are known to leave any out; 2 cuts a third more
MOST_OF_A_QUOTA = 0.9  # for one call that may not have the ceiling: the input's estimate errs, others wait meanwhile
FIRST_CALLS = 8  # in flight until an answer is known: what a wrong first guess can cost twice
CALLS_PER_ANSWER = 4  # in flight for every answer known; 4 in n + 1 calls, then, are longer than the n known
ANSWERS_FOR_ALL = 256  # known, from where on in-flight calls are bounded by quota and latency alone
PATIENCE_S = 30.0  # a call out for longer holds up no learning: no answer of FIRST tokens takes that long


class Call:
    """A call in flight, and its answer once there is one; a fault ends it without."""

    __slots__ = ("answer", "ended", "passed", "sent_at_s")

    def __init__(self, sent_at_s: float) -> None:
        self.sent_at_s = sent_at_s
        self.ended = False
        self.passed = False  # by answers to later calls: it took too long to be waited for
        self.answer: Measured | None = None


class MaxTokens:
    """Gives every call its max_tokens, between what nearly all answers need and the ceiling.

    Answers are learnt from in the order in which their calls were sent: short ones come back first, and a run that
    learnt from those alone would cut most of the others. Answers that were cut count at once.
    """

    def __init__(
        self,
        ceiling: int,
        burndown: int,
        largest_quota: float = inf,
        known: Iterable[int] = (),
        *,
        reasoning: int = 0,
    ) -> None:
        """Take the longest answer there may be, what its tokens settle at, the largest quota, and lengths known.

        `reasoning` is the budget for it, part of max_tokens [tokens]: the API takes no call whose max_tokens is not
        above it, however short the answers are.
        """
        self.ceiling = ceiling
        self.first = min(FIRST + reasoning, ceiling)
        self._least = LEAST + reasoning
        self.learnt = self.first  # for a row's first call
        self._burndown = burndown
        self._largest_hold = MOST_OF_A_QUOTA * largest_quota
        self._latest = LatestLengths(LATEST, LONGER)
        self._recent = LatestLengths(RECENT, RECENT_LONGER)
        self._calls: deque[Call] = deque()
        self._longest = 0
        self._whole = 0
        for length in known:
            self._longest = max(self._longest, length)
            self._take_whole(Measured(length))
        self._learn()

    def __repr__(self) -> str:
        return f"MaxTokens({self.learnt} of {self.ceiling}, {self._whole} answers known)"

    @property
    def calls(self) -> float:
        """Return how many calls may be in flight; inf once enough is known."""
        if self._whole >= ANSWERS_FOR_ALL:
            return inf
        return max(FIRST_CALLS, CALLS_PER_ANSWER * self._whole)

    def size(self, trial: Trial) -> None:
        """Give a row that waits the max_tokens of now: what was learnt since it was rendered counts."""
        request = trial.request
        wanted = max(self.learnt, trial.least_max_tokens)
        if (beside := request.hold - request.max_tokens) + wanted > self._largest_hold:
            wanted = self._fitting(wanted, beside)
        if wanted != request.max_tokens:
            trial.request = resized(request, wanted)

    def sent(self, trial: Trial, now_s: float) -> None:
        """Note that a row's call goes out."""
        trial.call = Call(now_s)
        self._calls.append(trial.call)

    def faulted(self, trial: Trial) -> None:
        """Note that it ended without an answer."""
        if trial.call is not None:
            trial.call.ended = True

    def whole(self, trial: Trial, length: int, now_s: float) -> None:
        """Learn from an answer that ended by itself, or at the ceiling."""
        self._longest = max(self._longest, length)
        if trial.cut is not None:
            self._correct(trial.cut, length)
            self.faulted(trial)
            self._whole += 1
        elif trial.call is not None:
            self._answered(trial.call, Measured(length))
        self._take_in_order(now_s)
        self._learn()

    def cut(self, trial: Trial) -> bool:
        """Learn from an answer that max_tokens cut; return whether the row is to be sent again, with more."""
        self.faulted(trial)
        request, had = trial.request, trial.request.max_tokens
        more = self.ceiling if trial.cuts else min(MORE * had, self.ceiling)
        more = self._fitting(more, request.hold - had)
        if more <= had:
            return False
        trial.cuts += 1
        trial.least_max_tokens = more
        guess = int(more / MARGIN)
        if trial.cut is None:
            trial.cut = Measured(guess)
            self._take(trial.cut)
        else:
            self._correct(trial.cut, guess)
        self._learn()
        return True

    def _fitting(self, wanted: int, beside: int) -> int:
        """Return no more than a pool takes beside the input; a row too large all the same is the gate's affair."""
        room = self._largest_hold - beside
        return wanted if room < min(wanted, self.first) else int(min(wanted, room))

    def _answered(self, call: Call, answer: Measured) -> None:
        call.ended = True
        if call.passed:
            self._take_whole(answer)
        else:
            call.answer = answer

    def _take_in_order(self, now_s: float) -> None:
        """Take the answers before which no call is out any more, but for those that take too long."""
        while self._calls and (self._calls[0].ended or self._calls[0].sent_at_s <= now_s - PATIENCE_S):
            call = self._calls.popleft()
            call.passed = True
            if call.answer is not None:
                self._take_whole(call.answer)

    def _take_whole(self, answer: Measured) -> None:
        self._whole += 1
        self._take(answer)

    def _take(self, answer: Measured) -> None:
        self._latest.take(answer)
        self._recent.take(answer)

    def _correct(self, answer: Measured, length: int) -> None:
        self._latest.correct(answer, length)
        self._recent.correct(answer, length)
        answer.length = length

    def _learn(self) -> None:
        needed = self._latest.needed()
        if needed is None:
            wanted = max(self.first, EARLY_MARGIN * self._longest, MARGIN * self._latest.longest)
        else:
            wanted = max(MARGIN * max(needed, self._recent.needed() or 0), self._burndown * self._latest.mean)
        self.learnt = min(self.ceiling, _stepped(max(self._least, wanted)))


def _stepped(wanted: float) -> int:
    """Round up to an eighth of a power of two or less: rows that wait are not rewritten for every token learnt."""
    whole = -int(-wanted // 1)
    step = 1 << max(0, whole.bit_length() - 4)
    return -(-whole // step) * step
