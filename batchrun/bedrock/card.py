"""The model card: everything about a model on Bedrock that is a fact and not a choice, read from a TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

from batchrun.errors import JobError

MANTLE = "mantle"  # the endpoint without inference IDs, and the kind of its pools
ANYWHERE = ("*",)  # the destinations of a global inference ID: any commercial Region


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one class [USD per million tokens]."""

    input: float
    output: float
    cache_write_5m: float
    cache_write_1h: float
    cache_read: float

    def cache_write(self, ttl: str) -> float:
        """Return the price of what is kept for "5m" or "1h"."""
        return self.cache_write_1h if ttl == "1h" else self.cache_write_5m


@dataclass(frozen=True, slots=True)
class Scope:
    """One inference ID, and from which source Region it may run where."""

    name: str
    inference_id: str
    pool_kind: str
    price_class: str
    sources: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Card:
    """A model as Bedrock offers it; `facts` holds the whole file for what has no field of its own."""

    name: str
    base_model_id: str
    mantle_model_id: str
    mantle_regions: tuple[str, ...]
    mantle_price_class: str
    endpoint_urls: Mapping[str, str]
    context_tokens: int
    max_output_tokens: int
    request_bytes: int
    output_burndown: int
    mantle_burndown: int
    tokens_per_minute: int
    scopes: Mapping[str, Scope]
    opt_in_regions: frozenset[str]
    residency: Mapping[str, tuple[str, ...]]
    prices: Mapping[str, Prices]
    prices_date: str
    facts: Mapping[str, Any]

    def pool_names(self) -> list[str]:
        """Name every pool that the card allows, as `source-Region/kind`, both endpoints'."""
        names = {f"{region}/{s.pool_kind}" for s in self.scopes.values() for region in s.sources}
        return sorted(names | {mantle_pool(region) for region in self.mantle_regions})

    def burndown_of(self, pool: str) -> int:
        """Return what an output token costs a pool [quota tokens]."""
        return self.mantle_burndown if pool.endswith(f"/{MANTLE}") else self.output_burndown

    def inside(self, region: str, residency: str) -> bool:
        """Tell whether `region` lies in one of the card's named residencies."""
        return any(fnmatchcase(region, pattern) for pattern in self.residency[residency])


def mantle_pool(region: str) -> str:
    """Name the pool of mantle in a Region."""
    return f"{region}/{MANTLE}"


def load_card(name_or_path: str = "claude-haiku-4-5", base: Path | None = None) -> Card:
    """Read a shipped card by its name, or one's own by its path (relative to `base`).

    Raises JobError if there is no such card or it lacks a fact.
    """
    shipped = resources.files("batchrun.bedrock") / "cards" / f"{name_or_path}.toml"
    own = (base or Path()) / name_or_path
    try:
        if "/" not in name_or_path and shipped.is_file():
            text, where = shipped.read_text(encoding="utf-8"), name_or_path
        else:
            text, where = own.read_text(encoding="utf-8"), str(own)
    except OSError as error:
        raise JobError(
            f"model.card = {name_or_path!r}: not a shipped card ({', '.join(card_names())}) "
            f"and no readable file {own} ({error.strerror})"
        ) from error
    except UnicodeDecodeError as error:
        raise JobError(f"model.card {own}: not a model card: not UTF-8") from error
    try:
        return _card(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"model.card {where}: not a model card: {type(error).__name__} {error}") from error


def card_names() -> list[str]:
    """Name the cards that ship with batchrun."""
    folder = resources.files("batchrun.bedrock") / "cards"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _card(facts: Mapping[str, Any]) -> Card:
    model, quota, prices = facts["model"], facts["quota"], facts["prices"]
    return Card(
        name=model["name"],
        base_model_id=facts["endpoint"]["runtime"]["model_id"],
        mantle_model_id=facts["endpoint"][MANTLE]["model_id"],
        mantle_regions=tuple(facts["endpoint"][MANTLE].get("regions", ())),
        mantle_price_class=facts["endpoint"][MANTLE].get("price", "global"),
        endpoint_urls={name: table["url"] for name, table in facts["endpoint"].items()},
        context_tokens=model["context_tokens"],
        max_output_tokens=model["max_output_tokens"],
        request_bytes=facts["limits"]["request_bytes"],
        output_burndown=quota["output_burndown"],
        mantle_burndown=quota.get("mantle_burndown", 1),
        tokens_per_minute=quota["tokens_per_minute"],
        scopes={name: _scope(name, table) for name, table in facts["scope"].items()},
        opt_in_regions=frozenset(facts["regions"]["opt_in"]),
        residency={word: tuple(patterns) for word, patterns in facts["regions"]["residency"].items()},
        prices={name: Prices(**row) for name, row in prices.items() if name != "date"},
        prices_date=str(prices["date"]),
        facts=facts,
    )


def _scope(name: str, table: Mapping[str, Any]) -> Scope:
    sources = table.get("sources") or dict.fromkeys(table["source_regions"], ANYWHERE)
    return Scope(
        name=name,
        inference_id=table["inference_id"],
        pool_kind=table["pool"],
        price_class=table["price"],
        sources={region: tuple(destinations) for region, destinations in sources.items()},
    )
