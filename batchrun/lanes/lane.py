"""Lanes: which inference IDs may be called from which source Regions, by the card and by the job's residency."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchrun.bedrock.card import ANYWHERE, MANTLE, Card, Scope, mantle_pool
from batchrun.errors import JobError


@dataclass(frozen=True, slots=True)
class Lane:
    """One inference ID called from one source Region; `pool` names the account quota that it draws on."""

    scope: str
    inference_id: str
    source_region: str
    destinations: tuple[str, ...]
    pool: str
    price_class: str
    endpoint: str = "runtime"

    @property
    def name(self) -> str:
        """Return the short name that people read."""
        return f"{self.scope}@{self.source_region}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A pair of scope and source Region that is not used, and why."""

    scope: str
    source_region: str
    why: str


@dataclass(frozen=True, slots=True)
class Routing:
    """What a job says of its lanes; None leaves the choice to the card.

    `scopes` are inference IDs, which mantle has none of: its lanes are single Regions.
    """

    scopes: tuple[str, ...] = ()
    source_regions: tuple[str, ...] | None = None
    residency: str | tuple[str, ...] | None = None
    shared_global_pool: bool = False
    mantle: bool = False


def every_lane(card: Card) -> list[Lane]:
    """Return every lane of the card, opt-in Regions too, and mantle's last."""
    through_ids = [_lane(scope, region) for scope in card.scopes.values() for region in scope.sources]
    return through_ids + [_mantle_lane(card, region) for region in card.mantle_regions]


def legal_lanes(card: Card, routing: Routing) -> tuple[list[Lane], list[Refusal]]:
    """Return the lanes that a job may use, and those that it named or implied but may not.

    Raises JobError if a scope or Region is unknown to the card, or if no lane is legal.
    """
    _check_names(card, routing)
    lanes: list[Lane] = []
    refused: list[Refusal] = []
    for lane in _named_lanes(card, routing):
        if isinstance(lane, Refusal):
            refused.append(lane)
        elif outside := _outside(card, lane, routing.residency):
            why = f"may run in {', '.join(outside)}, outside the residency"
            refused.append(Refusal(lane.scope, lane.source_region, why))
        else:
            lanes.append(lane)
    if not lanes:
        reasons = "\n".join(f"  {refusal.scope} from {refusal.source_region}: {refusal.why}" for refusal in refused)
        raise JobError(f"routing: no legal lane; every pair of scope and source Region is refused:\n{reasons}")
    return lanes, refused


def _named_lanes(card: Card, routing: Routing) -> Iterator[Lane | Refusal]:
    """Yield what a job's scopes and Regions come to, whatever the residency."""
    if routing.mantle:
        regions = routing.source_regions or sorted(set(card.mantle_regions) - card.opt_in_regions)
        yield from (_mantle_lane(card, region) for region in regions)
        return
    for scope in (card.scopes[name] for name in routing.scopes):
        for region in routing.source_regions or sorted(set(scope.sources) - card.opt_in_regions):
            if region in scope.sources:
                yield _lane(scope, region, shared_global_pool=routing.shared_global_pool)
            else:
                yield Refusal(scope.name, region, f"{scope.inference_id} cannot be called from {region}")


def _mantle_lane(card: Card, region: str) -> Lane:
    """Return a lane that runs where it is called; source of its price: BEDROCK price list, the global ID's."""
    return Lane(
        scope=MANTLE,
        inference_id=card.mantle_model_id,
        source_region=region,
        destinations=(region,),
        pool=mantle_pool(region),
        price_class=card.mantle_price_class,
        endpoint=MANTLE,
    )


def _lane(scope: Scope, region: str, *, shared_global_pool: bool = False) -> Lane:
    shared = shared_global_pool and scope.pool_kind == "global"
    return Lane(
        scope=scope.name,
        inference_id=scope.inference_id,
        source_region=region,
        destinations=scope.sources[region],
        pool=scope.pool_kind if shared else f"{region}/{scope.pool_kind}",
        price_class=scope.price_class,
    )


def _outside(card: Card, lane: Lane, residency: str | Sequence[str] | None) -> list[str]:
    """Name the destinations of `lane` that the residency does not allow."""
    if residency is None:
        return []
    if lane.destinations == ANYWHERE:
        return ["any commercial Region"]
    if isinstance(residency, str):
        return [region for region in lane.destinations if not card.inside(region, residency)]
    return [region for region in lane.destinations if region not in residency]


def _check_names(card: Card, routing: Routing) -> None:
    for scope in routing.scopes:
        if scope not in card.scopes:
            raise JobError(f"routing.scopes: {scope!r} is no scope of {card.name}; it has {', '.join(card.scopes)}")
    known = {region for scope in card.scopes.values() for region in scope.sources}
    if routing.mantle:
        known = set(card.mantle_regions)
    for region in routing.source_regions or ():
        if region not in known:
            what = "Region of mantle for" if routing.mantle else "source Region of"
            has = ", ".join(sorted(known))
            raise JobError(f"routing.source_regions: {region!r} is no {what} {card.name}; it has {has}")
    if isinstance(routing.residency, str) and routing.residency not in card.residency:
        words = ", ".join(card.residency)
        raise JobError(f"routing.residency = {routing.residency!r}: the card knows {words}, or a list of Regions")
