"""Discovery: what the account of a job really has, read within two seconds and kept for a day; never a reason to fail.

Everything is asked at once: each access in each of its source Regions. What is not there by the deadline, or is not
permitted, is left out, and said.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio

from batchrun.account.access import accesses
from batchrun.account.cache import Cache
from batchrun.account.calls import Calls
from batchrun.account.facts import CREDENTIALS, NO_ANSWER, NO_CREDENTIALS, Found, RegionFacts, Unread
from batchrun.account.now import why_not
from batchrun.account.reading import Question, Reading
from batchrun.bedrock.card import MANTLE, Card
from batchrun.bedrock.credentials import CredentialsError
from batchrun.errors import BatchrunError
from batchrun.jobspec import JobSpec
from batchrun.jobspec.endpoint import EMULATOR
from batchrun.lanes.own import own_lanes

ALL_S = 1.7  # for all of it: with what it takes to begin and to end it must not add 2 s to a start


async def discover(spec: JobSpec, card: Card, *, anew: bool = False) -> Found:
    """Return what AWS says of the Regions that a job may call; `anew` asks for what was kept, too."""
    if why := why_not(spec):
        return Found(why_not=why)
    facts: dict[tuple[str, str], RegionFacts] = {}
    unread: list[Unread] = []
    keep = spec.aws.control_url != EMULATOR  # which has another port each time
    async with control_url(spec, card) as url, anyio.create_task_group() as tasks:
        terms = _Terms(card, anyio.current_time() + ALL_S, anew, keep)
        for name, access in accesses(spec, url).items():
            asked = [question for question in questions(spec, card) if question.access == name]
            if asked:
                read = partial(_read, Calls(access, name), asked, terms)
                tasks.start_soon(read, facts, unread)
    return Found(facts, tuple(unread))


def questions(spec: JobSpec, card: Card) -> list[Question]:
    """Return what a job needs to know: of each access, in each source Region that it may call."""
    kinds: dict[tuple[str, str], set[str]] = {}
    for scope in (card.scopes[name] for name in spec.routing.scopes or () if name in card.scopes):
        for region in spec.routing.source_regions or sorted(set(scope.sources) - card.opt_in_regions):
            if region in scope.sources:
                kinds.setdefault(("", region), set()).add(scope.pool_kind)
    if spec.model.endpoint == MANTLE:  # its quotas are in no list; the model's lifecycle is the same
        for region in spec.routing.source_regions or sorted(set(card.mantle_regions) - card.opt_in_regions):
            kinds["", region] = set()
    own_ids: dict[tuple[str, str], list[str]] = {}
    for lane in own_lanes(spec.routing.lane):
        at = (lane.access, lane.source_region)
        kinds.setdefault(at, set()).update({"geo", "global"})
        own_ids.setdefault(at, []).append(lane.inference_id)
    return [Question(*at, frozenset(kinds[at]), tuple(own_ids.get(at, ()))) for at in kinds]


@asynccontextmanager
async def control_url(spec: JobSpec, card: Card) -> AsyncIterator[str | None]:
    """Yield where the control plane is, None for AWS's own; an emulator that is asked for runs meanwhile."""
    url = spec.aws.control_url
    if url != EMULATOR:
        yield url
        return
    from batchrun.emulator.config import EmulatorSpec
    from batchrun.emulator.server import serve  # only an emulator needs an HTTP server

    async with serve(spec.emulator or EmulatorSpec(), card=card) as emulator:
        yield f"{emulator.url}/{{region}}"


@dataclass(frozen=True, slots=True)
class _Terms:
    """On what terms is asked: until when [s of the event loop], and whether the cache is read and written."""

    card: Card
    deadline_s: float
    anew: bool
    keep: bool


async def _read(
    calls: Calls,
    asked: Sequence[Question],
    terms: _Terms,
    facts: dict[tuple[str, str], RegionFacts],
    unread: list[Unread],
) -> None:
    """Ask as one access, in all its Regions at once."""
    async with calls:
        try:
            with anyio.fail_after(max(0.0, terms.deadline_s - anyio.current_time())):
                cache = Cache(await calls.whose())
        except TimeoutError:
            unread.append(Unread(CREDENTIALS, "", NO_ANSWER, "they were not there in time", calls.name))
            return
        except (CredentialsError, BatchrunError) as error:
            unread.append(Unread(CREDENTIALS, "", NO_CREDENTIALS, str(error), calls.name))
            return
        now_s = time.time()
        kept = {question: cache.load(question.name, now_s) for question in asked} if not terms.anew else {}
        readings = {
            question: Reading(calls, terms.card, question, kept.get(question, _NOTHING_KEPT)[0]) for question in asked
        }
        async with anyio.create_task_group() as tasks:
            for reading in readings.values():
                tasks.start_soon(reading.read, terms.deadline_s)
        if terms.keep:
            _keep(cache, readings, kept, now_s)
            cache.prune(now_s)
        facts |= {(calls.name, question.region): reading.facts for question, reading in readings.items()}
        unread += calls.unread


def _keep(
    cache: Cache,
    readings: Mapping[Question, Reading],
    kept: Mapping[Question, tuple[RegionFacts, float]],
    now_s: float,
) -> None:
    for question, reading in readings.items():
        before, read_at_s = kept.get(question, _NOTHING_KEPT)
        if reading.whole not in (before, RegionFacts()):
            cache.keep(question.name, reading.whole, now_s if before == RegionFacts() else read_at_s)


_NOTHING_KEPT = (RegionFacts(), 0.0)
