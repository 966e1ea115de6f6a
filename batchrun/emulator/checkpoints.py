"""Cache checkpoints in a request: where they stand, checked as AWS does, and the prefix that ends at each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.faults import invalid

TTL_S = {"5m": 300.0, "1h": 3_600.0}
DEFAULT_TTL = "5m"


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint behind the first `pieces` of a prompt, `where` it was written."""

    where: str
    ttl: str
    pieces: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A prefix of a prompt that may be cached: what it holds, how long it is [tokens], how long it keeps."""

    digest: int
    tokens: int
    ttl: str


def mark_of(where: str, block: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return where a block has a checkpoint and its TTL, None if it has none; raises RefusedError."""
    if "cachePoint" in block:
        point, kind, place = block["cachePoint"], "default", f"{where}.cachePoint"
    elif block.get("cache_control") is not None:
        point, kind, place = block["cache_control"], "ephemeral", f"{where}.cache_control"
    else:
        return None
    if not isinstance(point, dict) or point.get("type") != kind:
        raise invalid(f"{place}.type: Input should be '{kind}'")
    if point.keys() - {"type", "ttl"}:
        raise invalid(f"{place}: Extra inputs are not permitted")
    if "thinking" in str(block.get("type")):
        raise invalid(f"{place}: cache_control cannot be set for thinking blocks")
    ttl = point.get("ttl") or DEFAULT_TTL
    if ttl not in TTL_S:
        raise invalid(f"{place}.ttl: Input should be '5m' or '1h'")
    return place, ttl


def check_marks(marks: Sequence[Mark], card: Card) -> None:
    """Raise RefusedError if there are too many checkpoints, or a longer TTL comes after a shorter one."""
    most = card.facts["caching"]["max_checkpoints"]
    if len(marks) > most:
        raise invalid(f"A maximum of {most} blocks with cache_control may be provided. Found {len(marks)}.")
    for before, mark in pairwise(marks):
        if TTL_S[mark.ttl] > TTL_S[before.ttl]:
            raise invalid(
                f"{mark.where}.ttl: a ttl='{mark.ttl}' cache_control block must not come after a ttl='{before.ttl}' "
                "cache_control block. Note that blocks are processed in the following order: `tools`, `system`, "
                "`messages`."
            )


def digest_of(texts: Sequence[str]) -> int:
    """Return 64 bits that stand for the texts in their order."""
    raw = "\n".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")
