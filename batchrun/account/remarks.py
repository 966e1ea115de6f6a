"""What a person should know of what was found, or could not be read: a line each."""

import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime

from batchrun.account.bearer import short_term_key
from batchrun.account.facts import CREDENTIALS, KEY_ONLY, Found, Unread
from batchrun.bedrock.authorization import BEARER_KEY
from batchrun.bedrock.card import ANYWHERE, Card
from batchrun.lanes.lane import UNKNOWN, Lane
from batchrun.redaction import without_credentials

SHOWN = 3  # Regions, of a list that may have thirty
# By operation: what is not known now, and the permission that it takes.
LACKS = {
    CREDENTIALS: ("nothing was read from AWS", ""),
    "ListInferenceProfiles": ("where lanes may run is taken from the card", "bedrock:ListInferenceProfiles"),
    "GetInferenceProfile": (
        "what that profile copies and where it may run is not known",
        "bedrock:GetInferenceProfile",
    ),
    "ListFoundationModels": ("whether the model is still supported is not known", "bedrock:ListFoundationModels"),
    "ListServiceQuotas": ("the account's own quotas are not known", "servicequotas:ListServiceQuotas"),
    "ListAWSDefaultServiceQuotas": ("AWS's default quotas are not known", "servicequotas:ListAWSDefaultServiceQuotas"),
}


def account_remarks(card: Card, lanes: Sequence[Lane], found: Found, now: datetime) -> list[str]:
    """Return the remarks: what was not read, the model's end, profiles that are not as the card has them, keys."""
    return [
        *_unread(found.unread),
        *_lifecycle(card, found, now.date()),
        *_profiles(card, lanes, found),
        *_own_lanes(lanes),
        *_key(lanes, now),
    ]


def _unread(unread: Sequence[Unread]) -> Iterator[str]:
    """Yield one line per operation and reason, however many Regions it concerns."""
    alike: dict[tuple[str, str, str], list[Unread]] = {}
    for one in unread:
        if one.of_everything and not one.access:
            continue  # a plan tells it in its own line, and a run cannot start
        alike.setdefault((one.operation, one.code, one.access), []).append(one)
    for (operation, code, access), ones in alike.items():
        lacks, permission = LACKS[operation]
        regions = list(dict.fromkeys(one.region for one in ones if one.region))
        whose = f" as {access}" if access else ""
        where = f" in {_some(regions)}" if regions else ""
        allow = f"; allow {permission}" if "AccessDenied" in code else ""
        message = without_credentials(ones[0].message)[:300]
        said = message if code == KEY_ONLY else f"{code}: {message}"
        yield f"{operation} could not be read{whose}{where}, so {lacks}: {said}{allow}"


def _lifecycle(card: Card, found: Found, today: date) -> Iterator[str]:
    legacy, ended = [], {}
    for region, lifecycle in found.lifecycles():
        end = _day(lifecycle.end_of_life)
        if end is not None and end <= today:
            ended[region] = end
        elif lifecycle.status == "LEGACY":
            legacy.append(f"{region}" + (f" (end of life {end})" if end is not None else ""))
    if ended:
        where = _some(list(ended))
        yield f"{card.name} has reached its end of life on {min(ended.values())} in {where}: calls will fail"
    if legacy:
        yield f"{card.name} is LEGACY in {_some(legacy)}: it will be withdrawn, plan for its successor"
    no_sooner_than = _day(str(card.facts["model"].get("end_of_life_no_sooner_than", "")))
    known = any(True for _ in found.lifecycles())
    if not known and found.nothing_read is None and no_sooner_than is not None and no_sooner_than <= today:
        yield f"{card.name} may reach its end of life any day since {no_sooner_than}; AWS did not say whether it has"


def _profiles(card: Card, lanes: Sequence[Lane], found: Found) -> Iterator[str]:
    for lane in lanes:
        scope = card.scopes.get(lane.scope)
        if scope is None or lane.label or lane.source_region not in scope.sources:
            continue
        facts = found.by_region.get((lane.access, lane.source_region))
        if facts is not None and facts.profiles and lane.inference_id not in facts.profiles:
            yield f"{lane.name}: AWS does not list {lane.inference_id} in {lane.source_region}; calls to it may fail"
        told, on_card = set(lane.destinations), set(scope.sources[lane.source_region])
        if told != on_card and lane.destinations != UNKNOWN:
            more, less = (", ".join(_named(sorted(one))) for one in (told - on_card, on_card - told))
            says = " and ".join([f"in {more} too"] * bool(more) + [f"not in {less}"] * bool(less))
            yield f"{lane.name}: AWS says that it may run {says}; the card says otherwise, AWS is believed"


def _own_lanes(lanes: Sequence[Lane]) -> Iterator[str]:
    for lane in lanes:
        if lane.scope == "own":
            yield (
                f"{lane.name}: what {lane.inference_id} copies is not known: it is priced, and its quota taken, as a "
                'geographic one; set scope in its [[routing.lane]] to "global" if it is not'
            )


def _key(lanes: Sequence[Lane], now: datetime) -> Iterator[str]:
    key = short_term_key(os.environ.get(BEARER_KEY, ""))
    if key is None:
        return
    others = sorted({lane.source_region for lane in lanes} - {key.region})
    if others:
        yield (
            f"{BEARER_KEY} is a short-term key of {key.region} and works in that Region only: lanes of {_some(others)} "
            "will be closed; use AWS credentials or a long-term key, or set routing.source_regions"
        )
    if key.ends_at is not None and key.ends_at <= now:
        yield f"{BEARER_KEY} is a short-term key that ended at {key.ends_at:%Y-%m-%d %H:%M} UTC: make a new one"


def _day(written: str | None) -> date | None:
    try:
        return date.fromisoformat((written or "")[:10])
    except ValueError:
        return None


def _named(regions: Sequence[str]) -> list[str]:
    return ["any commercial Region" if region in ANYWHERE else region for region in regions]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
