"""What others say of a call, without what is nobody else's: no credentials, and nothing of the prompt.

A service that refuses a signature quotes the headers it was sent, session token and all; a gateway may quote the body.
Such messages end in summaries and logs, which are kept longer and read by more people than the data.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator

MOST_CHARACTERS = 2_000  # of a message; what else a service says is for nobody
CREDENTIAL, ECHO = "[credential]", "[of the prompt]"
WINDOW = 12  # characters in a row that are taken for an echo; fewer may be chance
LEAST = 4  # characters of a prompt that is shorter than a window
ENVIRONMENT = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID")
_NAMED = r"authorization|x-amz-[a-z-]+|x-api-key|credential|signature|(?:[a-z_-]*(?:token|password|secret|access_?key))"
_WRITTEN = re.compile(
    rf"""(?P<name>\b(?:{_NAMED})["']?\s*[:=]\s*["']?)(?:(?:bearer|basic|aws4-hmac-sha256)\s+)?[^\s"',;&]+"""
    r"|\bbearer\s+[^\s\"',;]+"
    r"|\b(?:AKIA|ASIA|ABSK)[A-Z0-9a-z+/=_-]{12,}|\bbedrock-api-key-[^\s\"',;]+"
    r"|(?<=//)[^/\s@]+(?=@)",
    re.IGNORECASE,
)
_LONG = re.compile(r"[A-Za-z0-9+/=_-]{40,}")  # secret keys have 40 characters, tokens more


def without_credentials(message: str) -> str:
    """Return `message`, cut short, without what looks like a credential or is one of the environment's."""
    message = message[:MOST_CHARACTERS]
    for name in ENVIRONMENT:
        value = os.environ.get(name, "")
        if len(value) >= LEAST:
            message = message.replace(value, CREDENTIAL)
            message = _cut_off(message, value)
    message = _WRITTEN.sub(lambda found: (found["name"] or "") + CREDENTIAL, message)
    return _LONG.sub(lambda found: CREDENTIAL if _is_opaque(found[0]) else found[0], message)


def without_echo(message: str, texts: Iterable[str]) -> str:
    """Return `message` without any stretch of `texts`, as they are or as JSON spells them."""
    hidden = bytearray(len(message))
    for form in {form for text in texts for form in _forms(text)}:
        for first, stop in _echoes(message, form):
            hidden[first:stop] = b"\1" * (stop - first)
    said = "".join("\0" if hide else letter for hide, letter in zip(hidden, message, strict=True))
    return re.sub("\0+", ECHO, said)


def _cut_off(message: str, value: str) -> str:
    """Return `message` without a beginning of `value` that the cut left at its end."""
    for size in range(min(len(value), len(message)), LEAST - 1, -1):
        if message.endswith(value[:size]):
            return message[:-size] + CREDENTIAL
    return message


def _is_opaque(word: str) -> bool:
    return all(any(kind(letter) for letter in word) for kind in (str.isupper, str.islower, str.isdigit))


def _forms(text: str) -> Iterator[str]:
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def _echoes(message: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where stretches of `text` stand in `message`: every one of a window and a half, and most of a window."""
    if len(text) < WINDOW:
        if len(text) >= LEAST and (at := message.find(text)) >= 0:
            yield at, at + len(text)
        return
    at = 0
    while at + WINDOW <= len(message):
        found = text.find(message[at : at + WINDOW])
        if found < 0:
            at += WINDOW // 2
            continue
        first, stop = at, at + WINDOW
        while first > 0 and found > at - first and message[first - 1] == text[found - (at - first) - 1]:
            first -= 1
        while stop < len(message) and found + stop - at < len(text) and message[stop] == text[found + stop - at]:
            stop += 1
        yield first, stop
        at = stop
