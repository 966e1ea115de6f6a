"""Bedrock's doors: at which URL each API is spoken, for which service calls are signed, how an ID is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from batchrun.bedrock.body import messages_body
from batchrun.bedrock.card import Card

# The Messages API's own version, beside the one that InvokeModel has in its body; Anthropic API reference, 2026-11.
MESSAGES_VERSION = "2023-06-01"
JSON = {"content-type": "application/json", "accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Door:
    """Where one API is spoken.

    `client` is the SDK's name of it, `service` what calls are signed for; `host` may hold {region}, `path` {id}.
    `body` makes what is sent of an inference ID and of InvokeModel's body.
    """

    client: str
    service: str
    host: str
    path: str
    headers: dict[str, str]
    body: Callable[[str, bytes], bytes]

    def host_in(self, source_region: str) -> str:
        """Return AWS's own host of a source Region, as a URL."""
        return self.host.replace("{region}", source_region)

    def asking(self, headers: Mapping[str, str]) -> "Door":
        """Return the same door for calls that have further headers; what is signed has names in lower case."""
        return replace(self, headers={**self.headers, **{name.lower(): value for name, value in headers.items()}})

    def path_to(self, inference_id: str) -> str:
        """Return the path that calls an inference ID or its ARN, quoted as the SDK does: also colons and slashes."""
        return self.path.replace("{id}", quote(inference_id, safe="-_.~"))


def door_of(card: Card, api: str, endpoint: str) -> Door:
    """Return the door of `api` at `endpoint`; Converse has none here: it goes through the SDK.

    Raises KeyError if there is no such door.
    """
    at = urlsplit(card.endpoint_urls[endpoint])
    host = f"{at.scheme}://{at.netloc}"
    match api, endpoint:
        case "invoke", "runtime":
            return Door("bedrock-runtime", "bedrock", host, "/model/{id}/invoke", JSON, _as_it_is)
        case "messages", "runtime":
            return Door("bedrock-runtime", "bedrock", host, "/anthropic/v1/messages", _MESSAGES, messages_body)
        case "messages", "mantle":
            return Door("bedrock-mantle", "bedrock-mantle", host, at.path, _MESSAGES, messages_body)
    raise KeyError(f"{api} at {endpoint}")


def _as_it_is(_: str, body: bytes) -> bytes:
    return body


_MESSAGES = {**JSON, "anthropic-version": MESSAGES_VERSION}
