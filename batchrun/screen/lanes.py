"""The table of a card's lanes."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.bedrock.card import ANYWHERE, Card
from batchrun.lanes.lane import Lane, every_lane


def lane_record(card: Card, lane: Lane) -> dict[str, Any]:
    """Return what programs read of a lane; destinations of a global ID are the word for anywhere."""
    anywhere = lane.destinations == ANYWHERE
    return {
        "name": lane.name,
        "scope": lane.scope,
        "inference_id": lane.inference_id,
        "source_region": lane.source_region,
        "destination_regions": ["any commercial Region"] if anywhere else list(lane.destinations),
        "pool": lane.pool,
        "endpoint": lane.endpoint,
        **({"label": lane.label} if lane.label else {}),
        "opt_in": lane.source_region in card.opt_in_regions,
    }


def lane_records(card: Card) -> list[dict[str, Any]]:
    """Return every lane of a card."""
    return [lane_record(card, lane) for lane in every_lane(card)]


def lanes_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table that people read."""
    lines: list[str] = []
    shown = None
    for record in records:
        if record["inference_id"] != shown:
            shown = record["inference_id"]
            lines.append(f"{record['scope']}: {shown}")
        mark = " (opt-in)" if record["opt_in"] else ""
        lines.append(f"  {record['source_region'] + mark:<26} {', '.join(record['destination_regions'])}")
    return "\n".join(lines)
