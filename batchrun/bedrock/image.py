"""Images as Bedrock takes them: known by their first bytes, measured from their headers, and never decoded.

Four headers are a few lines each. A library that decodes pixels would open the door to every broken file of a dataset.
"""

import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

MOST_BYTES = 3_750_000  # Bedrock user guide, 2026-11
MOST_PX = 8_000  # of each side; the same page
MOST_IMAGES = 20  # of a request; the same page
PX_PER_TOKEN = 750  # Anthropic's vision guide
MOST_TOKENS = 1_600  # larger images are scaled down to about that; the same guide
_AROUND = len(
    '{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":""}},{"type":"text","text":""}'
)
_TAKEN = "png, jpeg, gif and webp can be sent"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that Bedrock takes, as a block of the Messages API.

    `size_bytes` is about what it adds to a request as base64, `tokens` the estimate of what it costs.
    """

    block: Mapping[str, Any]
    size_bytes: int
    tokens: int


def image_of(data: bytes) -> Image:
    """Return the image in `data`.

    Raises ValueError saying why Bedrock would refuse it.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"has {len(data):,} bytes, Bedrock takes {MOST_BYTES:,}")
    kind = _kind(data)
    if kind is None:
        raise ValueError(f"is no image that Bedrock takes: {_TAKEN}" if data else "is empty")
    try:
        width, height = _SIZES[kind](data)
    except (struct.error, IndexError, ValueError):
        raise ValueError(f"is a {kind} whose header cannot be read") from None
    if not width or not height:
        raise ValueError(f"is a {kind} of {width} × {height} pixels")
    if max(width, height) > MOST_PX:
        raise ValueError(f"has {width:,} × {height:,} pixels, Bedrock takes {MOST_PX:,} a side")
    encoded = b64encode(data).decode("ascii")
    source = {"type": "base64", "media_type": f"image/{kind}", "data": encoded}
    tokens = min(ceil(width * height / PX_PER_TOKEN), MOST_TOKENS)
    return Image({"type": "image", "source": source}, len(encoded) + _AROUND, tokens)


def _kind(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("the first chunk is another")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk from segment to segment up to the one that begins a frame."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise ValueError("no marker where one must be")
        while data[at] == 0xFF:  # any number of fill bytes
            at += 1
        marker = data[at]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame, of any coding
            height, width = struct.unpack_from(">HH", data, at + 4)
            return width, height
        if marker in {0xD9, 0xDA}:
            raise ValueError("pixels or the end before any frame")
        at += 1
        if marker != 0x01 and not 0xD0 <= marker <= 0xD8:  # these have no length
            at += struct.unpack_from(">H", data, at)[0]


def _webp(data: bytes) -> tuple[int, int]:
    coding = data[12:16]
    if coding == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if coding == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if coding == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no coding that is known")


_SIZES: dict[str, Callable[[bytes], tuple[int, int]]] = {"png": _png, "jpeg": _jpeg, "gif": _gif, "webp": _webp}
