"""Which numbers of Service Quotas are a pool's: by code, else by the whole name, whatever its case."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.bedrock.card import Card

NUMBERS = ("tokens_per_minute", "requests_per_minute", "tokens_per_day")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A number to be found; `name` is the kind of its pool and the number, such as geo_tokens_per_minute."""

    name: str
    code: str
    title: str


def wanted(card: Card, kinds: Iterable[str]) -> list[Wanted]:
    """Return what the card knows of the quotas of these kinds of pools, geo and global."""
    codes, titles = card.facts["quota"].get("code", {}), card.facts["quota"].get("title", {})
    names = [f"{kind}_{number}" for kind in sorted(kinds) for number in NUMBERS]
    return [Wanted(name, codes.get(name, ""), titles.get(name, "")) for name in names if name in {*codes, *titles}]


def find(want: Wanted, listed: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the quota of a list [as the SDK gives it] that is `want`; a code is surer than a name."""
    for one in listed:
        if want.code and one.get("QuotaCode") == want.code:
            return one
    title = want.title.casefold()
    return next((one for one in listed if title and str(one.get("QuotaName", "")).strip().casefold() == title), None)
