"""A job made ready: card, lanes, quotas, prices, templates and input worked out, before any row is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from batchrun.account.facts import Found
from batchrun.account.remarks import account_remarks
from batchrun.asking import extras_of, pictures_of, remarks, sampling_of, service_of, templates_of
from batchrun.bedrock.body import Sampling
from batchrun.bedrock.card import ANYWHERE, MANTLE, Card, Prices, load_card
from batchrun.bedrock.service import Service
from batchrun.caching import check_fixed, checkpoints_of
from batchrun.errors import InputError, JobError
from batchrun.identity import identity_of
from batchrun.jobspec import JobSpec, load_job
from batchrun.jobspec.emulator import check_emulator
from batchrun.jobspec.generation import AUTO
from batchrun.lanes.lane import Lane, Refusal, Routing, legal_lanes
from batchrun.lanes.max_tokens import FIRST
from batchrun.lanes.own import own_lanes
from batchrun.lanes.pool import Quota
from batchrun.quotas import quotas_of
from batchrun.render import Renderer
from batchrun.storage.manifest import read_manifest
from batchrun.storage.s3 import S3Options
from batchrun.storage.schema import Extras
from batchrun.storage.source import Source, scan
from batchrun.storage.store import MANIFEST, Store


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """What a run, a plan and a verification have in common."""

    spec: JobSpec
    card: Card
    lanes: tuple[Lane, ...]
    refused: tuple[Refusal, ...]
    quotas: Mapping[str, Quota]
    prices: Mapping[str, Prices]
    renderer: Renderer
    sampling: Sampling
    service: Service
    extras: Extras
    warnings: tuple[str, ...]
    found: Found | None = None

    @property
    def kept(self) -> list[str]:
        """Name the input columns that results carry over, the id first."""
        own = [self.spec.input.id] if self.spec.input.id is not None else []
        return [*own, *self.spec.input.keep]

    @property
    def learns_max_tokens(self) -> bool:
        """Tell whether max_tokens is learnt; `sampling` then has what a run begins with."""
        return self.spec.generation.max_tokens == AUTO

    @property
    def longest_answer(self) -> int:
        """Return the largest max_tokens that a call may have."""
        return self.spec.generation.longest

    @property
    def output_burndown(self) -> int:
        """Return what an output token costs at the job's endpoint [quota tokens]."""
        return self.card.burndown_of(self.lanes[0].pool)

    @property
    def largest_quota(self) -> float:
        """Return the most quota tokens a minute that any pool has; inf where one's number is not known."""
        numbers = [quota.tokens_per_minute for quota in self.quotas.values() if not quota.blocked]
        return max((inf if number is None else number for number in numbers), default=inf)

    @property
    def largest_day(self) -> float:
        """Return the same of quota tokens a day."""
        numbers = [quota.tokens_per_day for quota in self.quotas.values() if not quota.blocked]
        return max((inf if number is None else number for number in numbers), default=inf)

    @property
    def emulated(self) -> bool:
        """Tell whether answers come from something else than AWS: any endpoint of one's own is on this machine."""
        return self.spec.aws.endpoint_url is not None

    @property
    def regions(self) -> list[str]:
        """Name every Region that a request may run in."""
        return sorted({region for lane in self.lanes for region in lane.destinations})

    def scan_input(self, store: Store, *, fresh: bool = False) -> Source:
        """Return the job's input, in the order that an earlier run of the output fixed, with every column it needs.

        Raises InputError naming the column that is missing.
        """
        known = {}
        if store.exists(MANIFEST) and not fresh:
            known = {file.name: file for file in read_manifest(store).files}
        source = scan(
            self.spec.input.path, self.spec.base, known, S3Options(**self.spec.input.storage_options.model_dump())
        )
        source.require(self.renderer.columns, "the prompt")
        source.require(self.kept, "input.id and input.keep")
        return source

    def rows_wanted(self, source: Source) -> int:
        """Return how many of the input's rows the job asks for."""
        limit = self.spec.limits.rows
        return source.rows if limit is None else min(limit, source.rows)

    def identity(self) -> dict[str, Any]:
        """Return what an output belongs to, besides its input files."""
        return identity_of(self.spec, self.card, emulated=self.emulated)

    def check_recorded_regions(self, recorded: tuple[str, ...]) -> None:
        """Refuse to extend an output whose rows may have run where the job's residency does not allow.

        Raises InputError naming the Regions.
        """
        residency = self.spec.routing.residency
        if residency is None:
            return
        if isinstance(residency, str):
            outside = [region for region in recorded if region in ANYWHERE or not self.card.inside(region, residency)]
        else:
            outside = [region for region in recorded if region not in residency]
        if outside:
            named = ", ".join("any commercial Region" if region in ANYWHERE else region for region in outside)
            raise InputError(
                f"routing.residency = {residency!r}: rows of {self.spec.output.path} may have run in {named} already; "
                "choose another output.path, or start anew with --fresh (it moves the old output aside)"
            )


def make_ready(
    job: Path | str | JobSpec, overrides: Sequence[str] = (), discover: Callable[[JobSpec, Card], Found] | None = None
) -> ReadyJob:
    """Work out a job, or the job of a path with `--set` arguments over it.

    `discover` reads what the account really has, once the lanes turned out to be right. Raises JobError if the file,
    the card, a lane, a quota or a template is wrong.
    """
    spec = job if isinstance(job, JobSpec) else load_job(job, overrides)
    card = load_card(spec.model.card, spec.base)
    _check_longest(spec, card)
    routing = Routing(
        spec.routing.scopes or (),
        spec.routing.source_regions,
        spec.routing.residency,
        spec.quota.global_pool == "shared",
        own_lanes(spec.routing.lane),
        mantle=spec.model.endpoint == MANTLE,
    )
    legal_lanes(card, routing)
    if spec.emulator is not None:
        check_emulator(spec.emulator, card)
    found = discover(spec, card) if discover is not None else None
    lanes, refused = legal_lanes(card, routing, found)
    quotas, warnings = quotas_of(spec, card, lanes, found or Found())
    warnings += account_remarks(card, lanes, found, datetime.now(UTC)) if found is not None else []
    extras = extras_of(spec)
    renderer = Renderer(templates_of(spec), pictures_of(spec))
    sampling = sampling_of(spec, _first_max_tokens(spec), checkpoints_of(spec, card))
    cached = check_fixed(sampling, renderer.fixed_system, card)
    return ReadyJob(
        spec=spec,
        card=card,
        lanes=tuple(lanes),
        refused=tuple(refused),
        quotas=quotas,
        prices=_prices(spec, card),
        renderer=renderer,
        sampling=sampling,
        service=service_of(spec),
        extras=extras,
        warnings=(*warnings, *remarks(spec, card, extras), *cached),
        found=found,
    )


def _check_longest(spec: JobSpec, card: Card) -> None:
    generation = spec.generation
    if generation.longest > card.max_output_tokens:
        key = "max_tokens_ceiling" if generation.max_tokens == AUTO else "max_tokens"
        raise JobError(f"generation.{key} = {generation.longest}: {card.name} writes at most {card.max_output_tokens}")


def _first_max_tokens(spec: JobSpec) -> int:
    """Return what a run begins with: the job's number, or what learning begins with."""
    generation = spec.generation
    if generation.max_tokens != AUTO:
        return generation.longest
    return min(FIRST + (generation.thinking_budget_tokens or 0), generation.longest)


def _prices(spec: JobSpec, card: Card) -> dict[str, Prices]:
    if spec.prices is None:
        return dict(card.prices)
    own = {"global": spec.prices.global_, "geo": spec.prices.geo}
    return {
        name: replace(prices, **own[name].model_dump(exclude_none=True)) if name in own else prices
        for name, prices in card.prices.items()
    }
