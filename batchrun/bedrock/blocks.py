"""Content blocks of a conversation: those of a row checked one by one, and the same as Converse writes them."""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.bedrock.image import Image, image_of

Block = Mapping[str, Any]
_BY_ROLE = {"user": ("text", "image", "tool_result"), "assistant": ("text", "tool_use"), "system": ("text",)}


class Content:
    """The content of one turn: text alone as text, else blocks; and the images in it."""

    def __init__(self, role: str, given: object) -> None:
        """Check a turn's content.

        Raises ValueError saying what cannot be sent.
        """
        self.images: list[Image] = []
        self.uses_tools = False
        self.content: str | Sequence[Block] = given if isinstance(given, str) else self._joined(role, given)

    def _joined(self, role: str, given: object) -> str | Sequence[Block]:
        if not isinstance(given, list):
            return ""
        blocks = [self._block(role, place, block) for place, block in enumerate(given)]
        if all(block["type"] == "text" for block in blocks):
            return "".join(block["text"] for block in blocks)
        return blocks

    def _block(self, role: str, place: int, given: object) -> Block:
        if not isinstance(given, Mapping):
            raise ValueError(f"block {place} is no table")
        block = {key: value for key, value in given.items() if value is not None}  # a struct column has every key
        kind = block.get("type", "text" if "text" in block else None)
        if kind not in _BY_ROLE[role]:
            raise ValueError(f"block {place} of type {kind!r}: {role} messages take {', '.join(_BY_ROLE[role])}")
        try:
            return _MAKERS[kind](self, block)
        except (KeyError, TypeError) as error:
            raise ValueError(f"block {place} of type {kind!r} lacks or misplaces {error}") from None
        except ValueError as error:
            raise ValueError(f"block {place} of type {kind!r} {error}") from None

    def _text(self, block: Block) -> Block:
        return {"type": "text", "text": _string(block, "text")}

    def _image(self, block: Block) -> Block:
        data = block["source"]["data"]
        image = image_of(data if isinstance(data, bytes) else _decoded(data))
        self.images.append(image)
        return image.block

    def _tool_use(self, block: Block) -> Block:
        self.uses_tools = True
        given = block["input"]
        arguments = json.loads(given) if isinstance(given, str) else given
        if not isinstance(arguments, Mapping):
            raise ValueError("has an input that is no object")
        return {"type": "tool_use", "id": _string(block, "id"), "name": _string(block, "name"), "input": arguments}

    def _tool_result(self, block: Block) -> Block:
        self.uses_tools = True
        made: dict[str, Any] = {"type": "tool_result", "tool_use_id": _string(block, "tool_use_id")}
        given = block.get("content")
        if isinstance(given, list):
            made["content"] = [self._result(place, one) for place, one in enumerate(given)]
        elif given is not None:
            made["content"] = _string(block, "content")
        return {**made, "is_error": True} if block.get("is_error") is True else made

    def _result(self, place: int, given: object) -> Block:
        if isinstance(given, Mapping) and given.get("type") in ("tool_use", "tool_result"):
            raise ValueError("holds another tool block")
        return self._block("user", place, given)


_MAKERS = {
    "text": Content._text,
    "image": Content._image,
    "tool_use": Content._tool_use,
    "tool_result": Content._tool_result,
}


def converse_block(block: Block) -> dict[str, Any]:
    """Return a checked block as Converse writes it."""
    match block["type"]:
        case "text":
            return {"text": block["text"]}
        case "image":
            source = block["source"]
            kind = source["media_type"].removeprefix("image/")
            return {"image": {"format": kind, "source": {"bytes": b64decode(source["data"])}}}
        case "tool_use":
            return {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}
        case _:
            given = block.get("content", "")
            content = [{"type": "text", "text": given}] if isinstance(given, str) else given
            made = {"toolUseId": block["tool_use_id"], "content": [converse_block(one) for one in content]}
            return {"toolResult": {**made, "status": "error"} if "is_error" in block else made}


def _string(block: Block, key: str) -> str:
    value = block[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"has a {key} that is no text")
    return value


def _decoded(data: object) -> bytes:
    if not isinstance(data, str):
        raise ValueError("has data that is neither bytes nor base64")
    try:
        return b64decode(data, validate=True)
    except ValueError:
        raise ValueError("has data that is no base64") from None
