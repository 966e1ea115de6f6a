"""A pool: one source Region's quota for one kind of inference ID, in tokens and requests a minute, tokens a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchrun.bedrock.card import Card
from batchrun.emulator.config import EmulatorSpec, PoolQuota
from batchrun.emulator.faults import TOO_MANY_REQUESTS, TOO_MANY_TOKENS, TOO_MANY_TOKENS_PER_DAY
from batchrun.emulator.meter import DAY_S, Bucket, FixedWindow, Hold, Meter, make_meter
from batchrun.emulator.tenants import Draw


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an admitted call holds on each meter of its pool."""

    tokens: Hold
    request: Hold | None
    day_tokens: Hold | None


class Pool:
    """The meters of one pool; a call is admitted by all of them or by none."""

    def __init__(
        self,
        name: str,
        tokens: Meter,
        requests: Meter | None = None,
        day: Meter | None = None,
        tenants: Sequence[Draw] = (),
    ) -> None:
        self.name = name
        self.tokens = tokens
        self.requests = requests
        self.day = day
        self.tenants = tuple(tenants)

    def __repr__(self) -> str:
        return f"Pool({self.name!r}, {self.tokens!r}, requests={self.requests!r}, day={self.day!r}, {self.tenants!r})"

    @property
    def tenant_tokens(self) -> float:
        """Return what others have drawn so far [quota tokens]."""
        return sum(tenant.taken for tenant in self.tenants)

    def refusal(self, hold_tokens: int, now_s: float) -> str | None:
        """Return Bedrock's words if a call that holds `hold_tokens` is throttled now, None if it may enter."""
        self._let_tenants_draw(now_s)
        if self.day is not None and hold_tokens > self.day.room(now_s):
            return TOO_MANY_TOKENS_PER_DAY
        if self.requests is not None and self.requests.room(now_s) < 1:
            return TOO_MANY_REQUESTS
        if hold_tokens > self.tokens.room(now_s):
            return TOO_MANY_TOKENS
        return None

    def admit(self, hold_tokens: int, now_s: float) -> Reservation:
        """Take the hold on every meter."""
        return Reservation(
            tokens=self.tokens.take(hold_tokens, now_s),
            request=self.requests.take(1, now_s) if self.requests is not None else None,
            day_tokens=self.day.take(hold_tokens, now_s) if self.day is not None else None,
        )

    def settle(self, reservation: Reservation, charge_tokens: int, now_s: float) -> None:
        """Replace the hold by the charge; the request stays counted."""
        self._let_tenants_draw(now_s)
        self.tokens.settle(reservation.tokens, charge_tokens, now_s)
        if self.day is not None and reservation.day_tokens is not None:
            self.day.settle(reservation.day_tokens, charge_tokens, now_s)

    def turn_back(self, reservation: Reservation, now_s: float) -> None:
        """Give everything back, the request too: the call never ran."""
        self.settle(reservation, 0, now_s)
        if self.requests is not None and reservation.request is not None:
            self.requests.settle(reservation.request, 0, now_s)

    def _let_tenants_draw(self, now_s: float) -> None:
        while self.tenants and (first := min(self.tenants, key=lambda tenant: tenant.next_at_s)).next_at_s <= now_s:
            first.step(self.tokens)


def charge_tokens(
    card: Card, input_tokens: int, output_tokens: int, cache_write_tokens: int = 0, pool: str = ""
) -> int:
    """Return what a completed call costs its pool [quota tokens]; cache reads are free, mantle burns nothing down."""
    return input_tokens + cache_write_tokens + card.burndown_of(pool) * output_tokens


def make_pools(spec: EmulatorSpec, card: Card) -> Mapping[str, Pool]:
    """Return every pool of the card by its name, such as `us-east-1/geo`; a shared pool stands under many names.

    Raises ValueError if `spec` names a pool or a Region that the card does not have.
    """
    spec.check_pools(card)
    owners = {name: spec.pool_of(name) for name in spec.pool_names(card)}
    pools = {owner: _pool(owner, spec, card) for owner in dict.fromkeys(owners.values())}
    return {name: pools[owner] for name, owner in owners.items()}


def _pool(name: str, spec: EmulatorSpec, card: Card) -> Pool:
    own = spec.pools.get(name, PoolQuota())
    tpm = _first(own.tpm, spec.tpm, card.tokens_per_minute)
    rpm = _first(own.rpm, spec.rpm)
    return Pool(
        name,
        make_meter(spec.window, tpm or 0, spec.burst_s, spec.edge_s),
        _request_meter(rpm, spec) if rpm is not None else None,
        FixedWindow(own.tpd, DAY_S) if own.tpd is not None else None,
        [Draw(tenant, tpm or 0) for tenant in spec.tenants if tenant.pool == name],
    )


def _request_meter(rpm: int, spec: EmulatorSpec) -> Meter:
    if spec.window == "bucket" and 0 < rpm * spec.burst_s < 60:
        return Bucket(rpm, 60 / rpm)  # a bucket of less than one request would never open
    return make_meter(spec.window, rpm, spec.burst_s, spec.edge_s)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
