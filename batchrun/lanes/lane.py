"""Lanes: which inference IDs may be called from which source Regions, by the card and by the job's residency."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from batchrun.account.facts import Found, Profile
from batchrun.bedrock.card import ANYWHERE, MANTLE, Card, Scope, mantle_pool
from batchrun.errors import JobError
from batchrun.lanes.own import OwnLane

ACTIVE = "ACTIVE"
UNKNOWN = ("unknown Regions",)  # the destinations of a profile that could not be read


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
    access: str = ""  # whose credentials call it; "" are the job's own
    label: str = ""  # what tells a lane of one's own from others

    @property
    def name(self) -> str:
        """Return the short name that people read."""
        return f"{self.scope} from {self.source_region}" + (f" ({self.label})" if self.label else "")


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
    own: tuple[OwnLane, ...] = ()
    mantle: bool = False


def every_lane(card: Card) -> list[Lane]:
    """Return every lane of the card, opt-in Regions too, and mantle's last."""
    through_ids = [_lane(scope, region) for scope in card.scopes.values() for region in scope.sources]
    return through_ids + [_mantle_lane(card, region) for region in card.mantle_regions]


def legal_lanes(card: Card, routing: Routing, found: Found | None = None) -> tuple[list[Lane], list[Refusal]]:
    """Return the lanes that a job may use, and those that it named or implied but may not.

    Where AWS said what a profile's destinations are, that counts, and not the card. Without `found` destinations that
    are unknown are no reason to refuse a lane: nothing is to be sent.

    Raises JobError if a scope or Region is unknown to the card, or if no lane is legal.
    """
    _check_names(card, routing)
    lanes: list[Lane] = []
    refused: list[Refusal] = []
    for lane in _named_lanes(card, routing, found):
        if isinstance(lane, Refusal):
            refused.append(lane)
        elif why := _outside(card, lane, routing.residency, known=found is None):
            refused.append(Refusal(lane.inference_id if lane.label else lane.scope, lane.source_region, why))
        else:
            lanes.append(lane)
    if not lanes:
        reasons = "\n".join(f"  {refusal.scope} from {refusal.source_region}: {refusal.why}" for refusal in refused)
        raise JobError(f"routing: no legal lane; every pair of scope and source Region is refused:\n{reasons}")
    return lanes, refused


def lane_of_ones_own(card: Card, own: OwnLane, found: Found | None, *, shared_global_pool: bool) -> Lane | str:
    """Return the lane that an [[routing.lane]] table describes, or why there is none.

    What it copies is the scope that the table or the card names, else that whose destinations its profile has.
    """
    profile = found.profile(own.access, own.source_region, own.inference_id) if found is not None else None
    if profile is not None and card.base_model_id not in profile.model_ids:
        return f"it is a profile of {', '.join(profile.model_ids)}, not of {card.base_model_id}"
    if why := _inactive(profile):
        return why
    on_card = next((one.name for one in card.scopes.values() if one.inference_id == own.system_id), None)
    destinations = destinations_of(profile) if profile is not None else UNKNOWN
    named = on_card or own.scope
    if on_card is not None and profile is None:
        destinations = card.scopes[on_card].sources.get(own.source_region, UNKNOWN)
    if named is None and destinations != UNKNOWN:
        named = _scope_that_runs_in(card, own.source_region, destinations)
    # Not known: the dearer price, so that no cost cap is broken.
    pool_kind, price_class = ("geo", "geo")
    if named is not None:
        pool_kind, price_class = card.scopes[named].pool_kind, card.scopes[named].price_class
    shared = shared_global_pool and pool_kind == "global"
    pool = pool_kind if shared else f"{own.source_region}/{pool_kind}"
    return Lane(
        scope=named or "own",
        inference_id=own.inference_id,
        source_region=own.source_region,
        destinations=destinations,
        pool=pool if _is_of_the_jobs_account(own, found) else f"{own.account}:{pool}",
        price_class=price_class,
        access=own.access,
        label=own.label,
    )


def _is_of_the_jobs_account(own: OwnLane, found: Found | None) -> bool:
    """Tell whether a lane draws on the quota of the job's own account, though perhaps through a role or a profile."""
    if found is None or not own.account:
        return not own.account
    jobs = found.account("")
    return jobs is not None and jobs in (own.account, found.account(own.access))


def _scope_that_runs_in(card: Card, region: str, destinations: tuple[str, ...]) -> str | None:
    if destinations == ANYWHERE:
        return next((one.name for one in card.scopes.values() if ANYWHERE in one.sources.values()), None)
    same = [one.name for one in card.scopes.values() if set(one.sources.get(region, ())) == set(destinations)]
    return same[0] if same else None


def destinations_of(profile: Profile) -> tuple[str, ...]:
    """Return where a profile may run; a model without a Region may be run in any commercial one."""
    return ANYWHERE if "" in profile.destinations else profile.destinations


def _named_lanes(card: Card, routing: Routing, found: Found | None) -> Iterator[Lane | Refusal]:
    """Yield what a job's scopes, Regions and own lanes come to, whatever the residency."""
    if routing.mantle:
        regions = routing.source_regions or sorted(set(card.mantle_regions) - card.opt_in_regions)
        yield from (_mantle_lane(card, region) for region in regions)
        return
    for scope in (card.scopes[name] for name in routing.scopes):
        for region in routing.source_regions or sorted(set(scope.sources) - card.opt_in_regions):
            if region in scope.sources:
                yield _lane_found(_lane(scope, region, shared_global_pool=routing.shared_global_pool), found)
            else:
                yield Refusal(scope.name, region, f"{scope.inference_id} cannot be called from {region}")
    for own in routing.own:
        made = lane_of_ones_own(card, own, found, shared_global_pool=routing.shared_global_pool)
        yield Refusal(own.inference_id, own.source_region, made) if isinstance(made, str) else made


def _lane_found(lane: Lane, found: Found | None) -> Lane | Refusal:
    """Return a lane of the card with the destinations that AWS tells of."""
    profile = found.profile("", lane.source_region, lane.inference_id) if found is not None else None
    if profile is None:
        return lane
    if why := _inactive(profile):
        return Refusal(lane.scope, lane.source_region, why)
    return replace(lane, destinations=destinations_of(profile))


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


def _inactive(profile: Profile | None) -> str | None:
    if profile is None or profile.status == ACTIVE:
        return None
    return f"AWS says that {profile.inference_id} is {profile.status or 'without a status'}"


def _outside(card: Card, lane: Lane, residency: str | Sequence[str] | None, *, known: bool = False) -> str | None:
    """Say why the residency forbids `lane`; with `known` it does not matter that its destinations are unknown."""
    if residency is None:
        return None
    if lane.destinations == UNKNOWN:
        why = "where it may run is unknown, since GetInferenceProfile was not read, and there is a residency to keep"
        return None if known else why
    if lane.destinations == ANYWHERE:
        outside = ["any commercial Region"]
    elif isinstance(residency, str):
        outside = [region for region in lane.destinations if not card.inside(region, residency)]
    else:
        outside = [region for region in lane.destinations if region not in residency]
    return f"may run in {', '.join(outside)}, outside the residency" if outside else None


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
