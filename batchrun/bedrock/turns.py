"""A conversation that a row brings along: its turns, checked before anything is sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from batchrun.bedrock.blocks import Content
from batchrun.bedrock.image import Image
from batchrun.records import Message


@dataclass(frozen=True, slots=True)
class Turns:
    """The system prompt, if the first message is one, the turns, and what they hold besides text."""

    system: str | None
    messages: tuple[Message, ...]
    images: Sequence[Image] = ()
    uses_tools: bool = False


def turns_from(value: object) -> Turns:
    """Read a `messages` cell: a list of {role, content}, or the JSON text of one; content is text or blocks.

    Raises ValueError saying what is wrong.
    """
    try:
        given = json.loads(value) if isinstance(value, str) else value
        if not isinstance(given, list) or not given:
            raise ValueError("messages must be a non-empty list of {role, content}")
        read = [_turn(place, turn) for place, turn in enumerate(given)]
    except RecursionError as error:
        raise ValueError("messages is nested too deeply") from error
    messages = [Message(role, content.content) for role, content in read]
    system = messages[0].content if messages[0].role == "system" else None
    if system is not None:
        del messages[0]
    if not messages or messages[0].role != "user":
        raise ValueError("the first message after an optional system message must be the user's")
    if any(message.role == "system" for message in messages):
        raise ValueError("only the first message may be a system message")
    return Turns(
        system if isinstance(system, str) else None,
        tuple(messages),
        [image for _, content in read for image in content.images],
        any(content.uses_tools for _, content in read),
    )


def _turn(place: int, turn: object) -> tuple[str, Content]:
    if not isinstance(turn, dict) or turn.get("role") not in {"user", "assistant", "system"}:
        raise ValueError(f"message {place} must have a role of user, assistant or system, and a content")
    role = turn["role"]
    try:
        content = Content(role, turn.get("content"))
    except ValueError as error:
        raise ValueError(f"message {place} ({role}): {error}") from None
    if not content.content:
        raise ValueError(f"message {place} ({role}) has no text content")
    return role, content
