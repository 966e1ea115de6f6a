"""Which calls go wrong, and how: by outage, by a prompt's own wish, by chance that depends on nothing but the seed."""

from random import Random

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.directives import Directives
from batchrun.emulator.faults import FAULTS, Fault


class Chaos:
    """Draws the fault of every call; the n-th admitted call of a prompt meets the same fate in every run."""

    def __init__(self, spec: EmulatorSpec) -> None:
        self._seed = spec.seed
        self._outages = spec.outages
        self._shares = tuple(sorted(spec.faults.items()))
        self._seen: dict[int, int] = {}  # prompt digest -> admitted calls, kept only where chance or a wish needs it
        self._misfits: dict[int, int] = {}  # the same, where answers are wanted that do not fit
        self._outage_chance = Random(spec.seed)

    def __repr__(self) -> str:
        return f"Chaos(faults={dict(self._shares)!r}, outages={len(self._outages)}, seen={len(self._seen)})"

    def outage(self, region: str, now_s: float) -> Fault | None:
        """Return what a call to `region` meets at its door."""
        for outage in self._outages:
            if outage.covers(region, now_s) and (outage.share >= 1 or self._outage_chance.random() < outage.share):
                return FAULTS[outage.kind]
        return None

    def fault(self, digest: int, directives: Directives) -> Fault | None:
        """Return what an admitted call meets, None if it is answered as it should."""
        if not self._shares and directives.fault is None:
            return None
        times = self._seen.get(digest, 0)
        self._seen[digest] = times + 1
        if directives.fault is not None and (directives.fault_times is None or times < directives.fault_times):
            return FAULTS[directives.fault]
        return self._by_chance(digest, times)

    def misfits(self, digest: int, directives: Directives) -> bool:
        """Tell whether the answer of an admitted call is not to fit its schema."""
        if not directives.misfits:
            return False
        times = self._misfits.get(digest, 0)
        self._misfits[digest] = times + 1
        return times < directives.misfits

    def _by_chance(self, digest: int, times: int) -> Fault | None:
        drawn = Random((self._seed << 96) | (times << 64) | digest).random()
        for kind, share in self._shares:
            drawn -= share
            if drawn < 0:
                return FAULTS[kind]
        return None
