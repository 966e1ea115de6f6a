"""A price class: the doors to lanes of one price; it remembers its last no, and asks only those that changed since."""

from collections.abc import Iterable
from math import inf

from batchrun.lanes.door import Door
from batchrun.lanes.lane import Lane


class PriceClass:
    """Lets a call in by the open door with the most room.

    `opens_at_s` is when the first of its doors opens, as far as they said, and `pool_opens_at_s` the first of their
    pools; both mean something after a no only.
    """

    __slots__ = ("_asked_hold", "_changed", "doors", "opens_at_s", "pool_opens_at_s")

    def __init__(self, doors: Iterable[Door]) -> None:
        self.doors = tuple(doors)
        self._changed: dict[Door, None] = {}  # since the last no, in order
        self._asked_hold = inf
        self.opens_at_s = self.pool_opens_at_s = -inf

    def __repr__(self) -> str:
        return f"PriceClass({len(self.doors)} doors, opens_at_s={self.opens_at_s:.1f})"

    def forget(self, door: Door) -> None:
        """Have one of the doors asked again; call it whenever a call of the door's has gone out or ended."""
        if door.opens_at_s <= self.opens_at_s or door.pool_opens_at_s <= self.pool_opens_at_s:
            self.opens_at_s = -inf  # it was the first to open
        door.forget()
        self._changed[door] = None

    def lane(self, hold: float, now_s: float) -> Lane | None:
        """Return the lane for a call of `hold` quota tokens; None if every door is shut."""
        known_shut = now_s < self.opens_at_s and hold >= self._asked_hold
        if known_shut:
            maybe_open = list(self._changed)
        else:  # as `Door.is_known_shut` has it: a call for each of 25 is a tenth of a row
            maybe_open = [door for door in self.doors if now_s >= door.opens_at_s or hold < door.asked_hold]
        if len(maybe_open) > 1:
            # Most room first: mostly the first that is asked is ready. Where no quota is known, the fewest calls.
            maybe_open.sort(key=lambda door: (-door.room(now_s), door.pool.in_flight))
        for door in maybe_open:
            lane = door.lane(hold, now_s)
            if lane is not None:
                return lane
        if not known_shut:
            self._look_at_all(hold, now_s)
        elif maybe_open:
            self._asked_hold = max(self._asked_hold, hold)
            self.opens_at_s = min(self.opens_at_s, *[door.opens_at_s for door in maybe_open])
            self.pool_opens_at_s = min(self.pool_opens_at_s, *[door.pool_opens_at_s for door in maybe_open])
        self._changed.clear()
        return None

    def _look_at_all(self, hold: float, now_s: float) -> None:
        """Take together what the doors said; have the first to open say it of this very hold, and not of a smaller."""
        opens_at_s = min([door.opens_at_s for door in self.doors], default=inf)
        while opens_at_s < inf:
            first = next(door for door in self.doors if door.opens_at_s == opens_at_s)
            if first.asked_hold >= hold or first.lane(hold, now_s) is not None:
                break
            opens_at_s = min([door.opens_at_s for door in self.doors])
        self._asked_hold, self.opens_at_s = hold, opens_at_s
        self.pool_opens_at_s = min([door.pool_opens_at_s for door in self.doors], default=inf)
