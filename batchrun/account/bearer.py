"""Short-term Bedrock API keys: a URL in disguise, signed for one Region and for twelve hours at most."""

import os
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from batchrun.bedrock.authorization import BEARER_KEY

PREFIX = "bedrock-api-key-"  # aws-bedrock-token-generator, 2026-11; a long-term key begins otherwise
REGION = re.compile(r"[^/]+/[0-9]{8}/(?P<region>[a-z0-9-]+)/bedrock/aws4_request")


@dataclass(frozen=True, slots=True)
class ShortTermKey:
    """The one Region that a key works in, and when it ends at the latest: its maker's session may end before."""

    region: str
    ends_at: datetime | None


def short_term_key(key: str) -> ShortTermKey | None:
    """Read a key, None if it is of another kind."""
    if not key.startswith(PREFIX):
        return None
    try:
        url = b64decode(key.removeprefix(PREFIX), validate=True).decode("ascii")
    except ValueError:
        return None
    told = {name: values[0] for name, values in parse_qs(url.partition("?")[2]).items()}
    match = REGION.fullmatch(told.get("X-Amz-Credential", ""))
    if match is None:
        return None
    try:
        made_at = datetime.strptime(told["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        ends_at = made_at + timedelta(seconds=int(told["X-Amz-Expires"]))
    except (KeyError, ValueError, OverflowError):
        ends_at = None
    return ShortTermKey(match["region"], ends_at)


def key_in_use() -> str | None:
    """Say which Bedrock API key the environment has, without telling it; None if it has none."""
    key = os.environ.get(BEARER_KEY)
    if not key:
        return None
    if (short := short_term_key(key)) is None:
        return f"a Bedrock API key ({BEARER_KEY})"
    end = f", ends by {short.ends_at:%Y-%m-%d %H:%M} UTC" if short.ends_at is not None else ""
    return f"a short-term Bedrock API key of {short.region}{end} ({BEARER_KEY})"
