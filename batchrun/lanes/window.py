"""A trailing minute that may turn like a window: all at once, with what was above its limit carried over as debt."""

from math import inf

from batchrun.lanes.doubt import BEHIND_S
from batchrun.lanes.meter import WINDOW_S, Charge, Moment, TrailingMinute


class Window(TrailingMinute):
    """A sum that slides, or that starts anew every minute from an edge on, as long as one is supposed.

    The first edge supposed is the first call of all; a test may find another.
    """

    def __init__(self, per_minute: float | None, skew_s: float) -> None:
        """Take what a minute takes, None if unknown, and how much longer than a minute a sliding charge is kept."""
        super().__init__(per_minute, skew_s)
        self.edge_s = inf  # where the window began; inf: none is supposed, the sum slides
        self._fresh = True
        self.turned = False
        self._forgotten: list[Moment] = []  # at the last turn
        self._debt = Moment(0.0)

    def used(self, now_s: float) -> float:
        """Return what was charged in the last minute, or since the window began, with the debt of the one before."""
        while now_s >= self.edge_s + WINDOW_S + BEHIND_S:  # turns_at(), but this is asked 20 times a row
            self.turn(self.edge_s + WINDOW_S)
        return super().used(now_s)

    def turns_at(self) -> float:
        """Return when the window turns next [s], inf if none is supposed."""
        return self.edge_s + WINDOW_S + BEHIND_S

    def hold(self, cost: float, now_s: float) -> Charge:
        """Charge `cost`; the first call of all is where a window may begin."""
        if self._fresh and self.per_minute is not None:
            self.edge_s = now_s
        self._fresh = False
        return super().hold(cost, now_s)

    def settle(self, charge: Charge, cost: float, now_s: float) -> None:
        """Correct a hold; what a call of an earlier window gives back lowers the debt that it left."""
        self.used(now_s)
        refund = charge.cost - cost if charge.moment.expired else 0.0
        super().settle(charge, cost, now_s)
        if refund > 0:
            self._pay(min(refund, self._debt.cost))

    def turn(self, edge_s: float) -> None:
        """Take it that a window began at `edge_s`, with the last one's debt, and that another begins every minute."""
        self.turned = True
        self._forgotten = self.forget_before(edge_s)
        debt = sum(moment.cost for moment in self._forgotten) - (self.per_minute or 0.0)
        self._debt = Moment(edge_s, max(0.0, debt))
        self.remember([self._debt])
        self.edge_s = edge_s

    def slide(self) -> None:
        """Take it that no window began with the first call, unless it has turned."""
        if not self.turned:
            self.edge_s = inf

    def turn_back(self) -> bool:
        """Take it that no window begins where it was thought to; return whether anything counts again for that."""
        forgotten, self._forgotten = self._forgotten, []
        self.edge_s = inf
        self._pay(self._debt.cost)
        self.remember(forgotten)
        return bool(forgotten)

    def _pay(self, amount: float) -> None:
        self._debt.cost -= amount
        if not self._debt.expired:
            self._used -= amount
