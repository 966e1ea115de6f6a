"""Images in a request: what Bedrock refuses in them, and how many tokens they cost."""

import struct
from base64 import b64decode
from math import ceil
from typing import Any

from batchrun.bedrock.card import Card
from batchrun.emulator.faults import invalid

_PX_PER_TOKEN = 750
_MOST_TOKENS = 1_600  # larger ones are scaled down first


def image_tokens(where: str, encoded: object, told: str, card: Card) -> int:
    """Return what an image costs [tokens]; `told` is the type that the request names. Raises RefusedError."""
    limits: dict[str, Any] = card.facts["limits"]
    try:
        data = b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except ValueError:
        data = b""
    if not data:
        raise invalid(f"{where}.source.base64: invalid base64 data")
    if told not in limits["image_types"]:
        known = ", ".join(f"'image/{kind}'" for kind in limits["image_types"])
        raise invalid(f"{where}.source.base64.media_type: Input should be {known}")
    if len(data) > limits["image_bytes"]:
        raise invalid(
            f"{where}.source.base64: image exceeds 3.75 MB maximum: {len(data)} bytes > {limits['image_bytes']} bytes"
        )
    found = _kind(data)
    if found is None:
        raise invalid("Could not process image")
    if found != told:
        raise invalid(
            f"{where}.source.base64.data: The image was specified using the image/{told} media type, but the image "
            f"appears to be a image/{found} image"
        )
    try:
        width, height = _size(found, data)
    except (struct.error, IndexError):
        raise invalid("Could not process image") from None
    if max(width, height) > limits["image_px"]:
        raise invalid(
            f"{where}.source.base64.data: At least one of the image dimensions exceed max allowed size: "
            f"{limits['image_px']} pixels"
        )
    if not width or not height:
        raise invalid("Could not process image")
    return min(_MOST_TOKENS, ceil(width * height / _PX_PER_TOKEN))


def check_count(images: int, card: Card) -> None:
    """Raise RefusedError if there are more images than a request may hold."""
    most = card.facts["limits"]["images_per_request"]
    if images > most:
        raise invalid(f"messages: too many images: {images} > {most}")


def _kind(data: bytes) -> str | None:
    for kind, mark in (("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("gif", b"GIF8")):
        if data.startswith(mark):
            return kind
    return "webp" if data[:4] + data[8:12] == b"RIFFWEBP" else None


def _size(kind: str, data: bytes) -> tuple[int, int]:
    match kind:
        case "png":
            return struct.unpack_from(">II", data, 16)
        case "gif":
            return struct.unpack_from("<HH", data, 6)
        case "webp":
            return _webp(data)
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):  # baseline, extended, progressive
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    height, width = struct.unpack_from(">HH", data, at + 5)
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + bits % 2**14, 1 + (bits >> 14) % 2**14
    width, height = struct.unpack_from("<HH", data, 26)
    return width % 2**14, height % 2**14
