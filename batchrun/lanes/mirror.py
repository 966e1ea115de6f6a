"""A mirror of one metered dimension of a pool, tokens or requests: two readings of it, corrected by its refusals.

Nobody outside AWS knows whether a minute is metered as a bucket or as a window. The level reads the charges as a bucket
would, the minute as a window would. The level always holds; the minute holds unless calls that it forbids are let
through. `docs/quota.md` tells why, with the sums.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from batchrun.lanes.doubt import Doubt, Doubts
from batchrun.lanes.level import Level
from batchrun.lanes.meter import Charge
from batchrun.lanes.metering import Metering
from batchrun.lanes.minute import Minute
from batchrun.lanes.unconfirmed import Unconfirmed

PAUSE_S = 0.5  # after a refusal that the minute nearly foresaw
LONGEST_PAUSE_S = 8.0  # where others hold the whole quota: what is lost of it once they leave
ENOUGH = 3  # calls let through in a row that the minute forbade: it is out of force until the next refusal
LONGEST_RETRY_AFTER_S = 300.0  # no throttle of Bedrock's was seen with a Retry-After; a gateway's is taken up to this


class Held(NamedTuple):
    """What one call holds of the dimension until it is settled; `beyond` if the minute forbade it."""

    cost: float
    at_s: float
    charge: Charge
    beyond: bool


class Mirror:
    """What may be charged now, as far as charges and refusals tell; amounts are quota tokens, or requests."""

    def __init__(
        self,
        per_minute: float | None,
        metering: Metering,
        doubts: Doubts | None = None,
        *,
        slack: float,
        cautious: bool,
    ) -> None:
        """Take the quota, None if unknown, and the share of a call's cost by which its estimate may be off.

        `cautious` begins with few calls also where no quota is known.
        """
        self.minute = Minute(per_minute, metering.skew_s, slack)
        self._level = Level(per_minute)
        self._doubt = Doubt(doubts or Doubts(metering.day_ends_at_s))
        self._unconfirmed = Unconfirmed(metering.round_trip_s)
        self.limited = per_minute is not None
        self._cautious = cautious
        self._like_a_bucket = False  # calls that the minute forbade were let through of late
        self._refused_at_s = -inf
        self._closed_until_s = 0.0
        self._shut_s = PAUSE_S  # the next pause, should nothing get through although nothing was charged for a minute
        self.told_wrong_at_s: float | None = None  # when a refusal first came far below the number
        self._pinned_level = False  # by the refusal that began this episode, and so by the rest of its flight
        self._lowered_minute = False
        self._tried_turn = False
        self.heir: Mirror | None = None  # hears how calls end that were held here

    def __repr__(self) -> str:
        return f"Mirror({self.minute}, {self._level}, {self._doubt}, {self._unconfirmed})"

    def rate_per_s(self) -> float | None:
        """Return what is believed to come back each second, None if unknown."""
        return self._level.rate_per_s

    def room(self, now_s: float) -> float:
        """Return the free share of what a minute is believed to take; 1.0 where no limit is known."""
        limit = self.minute.per_minute
        return 1 - self.minute.used(now_s) / limit if limit else 1.0

    def rested_at(self, now_s: float) -> float:
        """Return when nothing will have been charged for a minute and no debt is left, if nothing more is charged."""
        return max(self._closed_until_s, self.minute.empty_at(now_s), self._level.ready_at(0.0, now_s))

    def forbids(self, cost: float, now_s: float) -> bool:
        """Tell whether neither reading has room for `cost`."""
        return self._level.ready_at(cost, now_s) > now_s and not self.minute.fits(cost, now_s)

    def ready_at(self, cost: float, now_s: float) -> float:
        """Return the earliest time [s] at which `cost` may be charged."""
        if not self.limited:
            return self._first_calls_at(now_s)
        self._confirm(now_s)
        # Until a refusal says otherwise the number is believed: what it brings in each round trip needs no trial.
        believed_per_s = (self._level.rate_per_s or 0.0) / cost if self._refused_at_s == -inf else 0.0
        few_s = self._unconfirmed.ready_at(now_s, believed_per_s)
        ready_s = max(self._level.ready_at(cost, now_s), few_s, self._closed_until_s)
        if not self.minute.fits(cost, now_s):
            tested_s = max(self._doubt.at(now_s), self._unconfirmed.ready_beyond_at(now_s))
            if tested_s > ready_s:
                ready_s = max(ready_s, min(tested_s, self.minute.ready_at(cost, now_s)))
        return max(ready_s, now_s)

    def feels_its_way(self, now_s: float) -> bool:
        """Tell whether calls are held back only by being the first: none was refused yet, few are known to pass."""
        return self._refused_at_s == -inf and self._unconfirmed.ready_at(now_s) > now_s

    def hold(self, cost: float, now_s: float) -> Held:
        """Charge a call at admission."""
        beyond = False
        if self.limited:
            beyond = self.minute.forbids(cost, now_s)
        if beyond:
            self._doubt.tested(now_s)
        if self.limited or self._cautious:
            self._unconfirmed.sent(now_s, beyond=beyond)
        self._level.charge(cost, now_s)
        return Held(cost, now_s, self.minute.hold(cost, now_s), beyond)

    def settle(self, held: Held, cost: float, now_s: float) -> None:
        """Correct a hold to what the call came to; 0 gives it back."""
        self._level.correct(cost - held.cost, now_s)
        self.minute.settle(held.charge, cost, now_s)
        if self.heir is not None:
            self.heir.inherit(cost - held.cost, now_s)
        if cost and held.at_s > self._refused_at_s:
            self.minute.seen(now_s)

    def inherit(self, cost: float, now_s: float) -> None:
        """Charge what another mirror was charged, or give back what it was given back."""
        self._level.correct(cost, now_s)
        self.minute.hold(cost, now_s)

    def take_over(self, others: Sequence["Mirror"], now_s: float) -> None:
        """Charge what others were charged in the last minute, in its order, and hear how their calls in flight end."""
        for at_s, cost in sorted(charge for other in others for charge in other.minute.charges(now_s)):
            self.inherit(cost, at_s)
        for other in others:
            other.heir = self
        self._tried_turn = True  # by the others

    def part_with_heir(self) -> None:
        """Tell nobody any more how calls end."""
        self.heir = None

    def withdraw(self, held: Held, now_s: float) -> None:
        """Give back the hold of a call that tells nothing of the quota."""
        self.settle(held, 0.0, now_s)
        self.forget(held)

    def forget(self, held: Held) -> None:
        """Leave a call's charge, and take its passing for no sign of anything: it failed for other reasons."""
        if held.at_s > self._refused_at_s:
            self._unconfirmed.forget(held.at_s, beyond=held.beyond)

    def refuse(self, held: Held, now_s: float, retry_after_s: float | None = None) -> None:
        """Take a refusal: give the hold back, and correct what had foretold that the call would pass."""
        seen_per_s = self.minute.used(now_s) / max(self.minute.age_s(now_s), 1.0)
        self.settle(held, 0.0, now_s)
        self._unconfirmed.refusal_took(now_s - held.at_s)
        self.forget(held)
        self._closed_until_s = max(self._closed_until_s, now_s + min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))
        self.limited = True
        if held.at_s <= self._refused_at_s:
            self._refused_in_flight(held.cost, now_s)
            return
        self._confirm(now_s)
        self._begin_episode(held, seen_per_s, now_s)
        self._unconfirmed.start_again()
        self._refused_at_s = now_s

    def level_is_below(self, cost: float, now_s: float) -> None:
        """Take that calls passed which the level did not cover until one of `cost` was refused."""
        self._level.is_below(cost, now_s)

    def _first_calls_at(self, now_s: float) -> float:
        """Return when a call may go of a dimension that is not known to be limited at all."""
        if not self._cautious:
            return now_s
        self._unconfirmed.confirm(now_s)
        return max(now_s, self._unconfirmed.ready_at(now_s))

    def _confirm(self, now_s: float) -> None:
        """Take what no refusal came for: the minute is wrong, or has turned, where it had forbidden such calls."""
        if not self._tried_turn and (self.minute.turned or now_s >= self.minute.turns_at()):
            self._try_turn()
        before = self._unconfirmed.passed_beyond
        # What calls gave back that settled below their holds came to the meter before it was known here: it may be
        # that alone which let the others pass.
        fit = self._unconfirmed.beyond > 0 and not self.minute.forbids(0.0, now_s)
        self._unconfirmed.confirm(now_s, fit=fit)
        in_a_row = self._unconfirmed.passed_beyond
        edge_s = self._doubt.edge_s
        if in_a_row > before == 0 and edge_s is not None and edge_s <= now_s:  # the next plan's edge is still to come
            self.minute.turn(edge_s)
            self._unconfirmed.passed_beyond = 0
            self._doubt.found_edge(now_s)
        elif in_a_row > before:
            enough = before < ENOUGH <= in_a_row
            self._doubt.went_well(now_s, enough=enough)
            if enough:
                self.minute.stretch(now_s)
            self._like_a_bucket = self._like_a_bucket or enough

    def _try_turn(self) -> None:
        """Send few calls after the first turn of all: only a refusal can tell whether there was a window."""
        self._tried_turn = True
        self._unconfirmed.start_again()

    def _begin_episode(self, held: Held, seen_per_s: float, now_s: float) -> None:
        """Correct the readings by a refusal that is none of an earlier flight's."""
        cost, passed = held.cost, self._unconfirmed.passed
        self._pinned_level = self._lowered_minute = False
        self._pause_if_shut(passed, now_s)
        if not self.minute.was_nearly_full(now_s) and self.minute.turn_back():
            self._doubt.failed(now_s)  # a window only seemed to turn
        elif held.beyond and not self._unconfirmed.passed_beyond:
            # The minute foresaw it: it is right so far, and the level is not to blame.
            self._like_a_bucket = False
            self._doubt.failed(now_s)
        elif held.beyond:
            # The level alone had been right for a while: it is lower than it seemed.
            self._pin_level(cost, seen_per_s, now_s, measure=True)
            self._doubt.again(now_s)
        elif self.minute.was_nearly_full(now_s) and not self._like_a_bucket:
            self._lowered_minute = True
            self.minute.full_early(cost, now_s)
            self._closed_until_s = max(self._closed_until_s, now_s + PAUSE_S)
            self._doubt.postpone(now_s)
        else:
            # Neither reading foresaw it.
            nearly = self.minute.was_nearly_full(now_s)
            self._lowered_minute = True
            if nearly:
                self.minute.full_early(cost, now_s)
                self._doubt.again(now_s)
            else:
                self.told_wrong_at_s = self.told_wrong_at_s or now_s
                self.minute.wrong(cost, now_s)
                self._doubt.start_again(now_s)
            self._pin_level(cost, seen_per_s, now_s, measure=passed > 0)

    def _pause_if_shut(self, passed: int, now_s: float) -> None:
        """Wait ever longer while nothing gets through and nothing was charged: the quota is in the hands of others."""
        if passed or self.minute.used(now_s):
            self._shut_s = PAUSE_S
            return
        self._closed_until_s = max(self._closed_until_s, now_s + self._shut_s)
        self._shut_s = min(LONGEST_PAUSE_S, 2 * self._shut_s)

    def _refused_in_flight(self, cost: float, now_s: float) -> None:
        """Take a refusal of a call sent before the last refusal came: it cuts nothing, what it held is gone again."""
        if self._pinned_level:
            self._level.repin(cost, now_s)
        if self._lowered_minute:
            self.minute.lower(cost, now_s)

    def _pin_level(self, cost: float, seen_per_s: float, now_s: float, *, measure: bool) -> None:
        self._pinned_level = True
        self._level.pin(cost, seen_per_s, now_s, measure=measure)
