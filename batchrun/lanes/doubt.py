"""Doubt: when the minute's no is put to the test by a call that the level alone would let go.

How minutes are metered is one fact about Bedrock, and a test of a minute that is right costs a refusal. So while
minutes prove right, one pool of a run tests for all.
"""

from math import ceil, inf

FIRST_WAIT_S = 10.0  # after the minute's first no: a bucket has by then refilled by a sixth
AGAIN_S = 0.5  # after a refusal that the minute did not foresee, or of calls that it forbade and that had gone well
SECOND_WAIT_S = 30.0  # after a first test that failed; a shorter wait is a pool's own
LONGEST_WAIT_S = 240.0
ALIGNED_ABOVE_S = 20.0  # waits longer than this end at a full minute of the clock: where windows are likeliest to turn
BEHIND_S = 0.05  # the full minute: our clock may be a little fast
TRIAL_S = 1.2  # others wait so long for what becomes of a test: the longest that a call is unconfirmed


class Doubts:
    """When a run's pools may test their minutes, for as long as these prove right: the waits double for all."""

    def __init__(self, full_minute_at_s: float = inf) -> None:
        """Take the time [s] of any full minute of the calendar; inf if unknown."""
        self.edge_s: float | None = None  # the full minute at which the next test is to be
        self.plans = 0  # made so far
        self.wait_s = SECOND_WAIT_S
        self.a_window_did_not_turn = False  # where it was thought to
        self.full_minute_at_s = full_minute_at_s
        self._at_s = -inf
        self._tester: Doubt | None = None  # has a test out, or had the last that failed
        self._each_for_itself = False  # a test went well: nobody waits for another's
        self._pools = 0

    def __repr__(self) -> str:
        return f"Doubts({self._pools} pools, at_s={self._at_s:.1f}, wait_s={self.wait_s:.0f})"

    def joined(self) -> None:
        """Count a pool whose minute says no for the first time."""
        self._pools += 1

    def at(self, who: "Doubt") -> float:
        """Return when `who` may test, as far as the others are concerned [s]."""
        return -inf if who is self._tester and self._pools > 1 else self._at_s

    def tested(self, who: "Doubt", now_s: float) -> None:
        """Have the others wait for what becomes of a test."""
        if self._pools > 1 and not self._each_for_itself:
            self._tester = who
            self._at_s = max(self._at_s, now_s + TRIAL_S)

    def went_well(self, now_s: float, *, at_edge: bool) -> None:
        """Let all pools test at once; `at_edge` if the test was one of a window's turn, and went well as such."""
        self._at_s, self._each_for_itself, self._tester = now_s, True, None
        if at_edge:
            self.wait_s = LONGEST_WAIT_S
        else:
            self.edge_s = None

    def failed(self, who: "Doubt", now_s: float) -> float:
        """Take that a minute was right; return when `who` may test again [s]: others come first.

        They may be metered differently.
        """
        self._at_s = now_s + self.wait_s
        self.edge_s = None
        if self.wait_s > ALIGNED_ABOVE_S and self.full_minute_at_s < inf:
            self.edge_s = self.full_minute_at_s + 60 * ceil((self._at_s - 30 - self.full_minute_at_s) / 60)
            self._at_s = self.edge_s + BEHIND_S
        self.plans += 1
        self.wait_s = min(LONGEST_WAIT_S, 2 * self.wait_s)
        self._each_for_itself, self._tester = False, who
        return self._at_s + (TRIAL_S if self._pools > 1 else 0.0)


class Doubt:
    """The tests of one pool's minute.

    A pool whose minute has shown to be wrong, by its number or by its kind, tests by itself and soon, until its waits
    have become long again.
    """

    def __init__(self, common: Doubts) -> None:
        self._common = common
        self._at_s: float | None = None
        self._own_wait_s: float | None = None  # None while it goes by the common one; always short
        self._soon = False  # the next test is its own matter
        self._left_plan = -1  # the last common plan that it did not keep to

    def __repr__(self) -> str:
        return f"Doubt(at_s={self._at_s}, own_wait_s={self._own_wait_s}, {self._common})"

    @property
    def edge_s(self) -> float | None:
        """Return the full minute at which the next test is to be, None if it is to be at another time."""
        keeps_to_it = self._own_wait_s is None and self._left_plan != self._common.plans
        return self._common.edge_s if keeps_to_it else None

    @property
    def windows_are_doubtful(self) -> bool:
        """Tell whether a window of any pool of the run was seen not to turn where it was thought to."""
        return self._common.a_window_did_not_turn

    def at(self, now_s: float) -> float:
        """Return when a call may go that the minute forbids [s]; the first time it forbids one, tests are planned."""
        at_s = self._at_s if self._at_s is not None else self._begin(now_s + FIRST_WAIT_S)
        return at_s if self._soon or self._own_wait_s is not None else max(at_s, self._common.at(self))

    def tested(self, now_s: float) -> None:
        """Note that a call goes that the minute forbids."""
        if self._own_wait_s is None:
            self._common.tested(self, now_s)

    def went_well(self, now_s: float, *, enough: bool) -> None:
        """Take that calls which the minute forbade were let through; `enough` of them in a row halve the next wait."""
        self._leave_plan(now_s if self._at_s is None else min(self._at_s, now_s))
        if not enough:
            return
        halved_s = max(AGAIN_S, (self._own_wait_s or self._common.wait_s) / 2)
        if self._own_wait_s is None:
            self._common.went_well(now_s, at_edge=False)
        if self._own_wait_s is None and halved_s >= SECOND_WAIT_S:
            self._common.wait_s = halved_s
        else:
            self._own_wait_s = halved_s

    def found_edge(self, now_s: float) -> None:
        """Take that a window turned at the full minute: the minute goes by it from now on, and needs few tests.

        The windows of other pools are likely to have turned there too.
        """
        self._common.went_well(now_s, at_edge=True)
        self._leave_plan(now_s + LONGEST_WAIT_S)

    def failed(self, now_s: float) -> None:
        """Take that the minute was right."""
        if self._own_wait_s is None:
            self._begin(self._common.failed(self, now_s))
            return
        self._begin(now_s + self._own_wait_s)
        longer_s = 2 * self._own_wait_s
        self._own_wait_s = longer_s if longer_s < SECOND_WAIT_S else None

    def turned_back(self, now_s: float) -> None:
        """Take that a window did not turn where it was thought to; nor will those that have yet to turn."""
        self._common.a_window_did_not_turn = True
        self.failed(now_s)

    def again(self, now_s: float) -> None:
        """Test soon: a refusal came that neither reading foresaw, or after tests that had gone well."""
        self._leave_plan(now_s + AGAIN_S)
        self._soon = True

    def postpone(self, now_s: float) -> None:
        """Do not test at once: the minute was nearly right."""
        self._leave_plan(max(self._at_s or 0.0, now_s + AGAIN_S))

    def start_again(self, now_s: float) -> None:
        """Test soon and often: the number that the minute goes by was wrong, its no is worth little."""
        self._own_wait_s = AGAIN_S
        self.again(now_s)

    def _begin(self, at_s: float) -> float:
        if self._at_s is None:
            self._common.joined()
        self._at_s = at_s
        self._soon = False
        return at_s

    def _leave_plan(self, at_s: float) -> None:
        self._begin(at_s)
        self._left_plan = self._common.plans
