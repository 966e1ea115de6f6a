"""Images are known by their first bytes and measured from their headers; what Bedrock would refuse is refused here."""

from base64 import b64decode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.bedrock.image import MOST_BYTES, image_of
from tests.pictures import GIF, JPEG, WEBP_LOSSLESS, WEBP_LOSSY, jpeg_with_thumbnail, png, webp_extended


@pytest.mark.parametrize(
    ("data", "kind"),
    [(png(), "png"), (JPEG, "jpeg"), (GIF, "gif"), (WEBP_LOSSY, "webp"), (WEBP_LOSSLESS, "webp")],
    ids=["png", "jpeg", "gif", "lossy webp", "lossless webp"],
)
def test_an_image_becomes_a_block_of_its_own_kind(data, kind):
    image = image_of(data)

    source = image.block["source"]
    assert (source["type"], source["media_type"]) == ("base64", f"image/{kind}")
    assert b64decode(source["data"]) == data
    assert len(source["data"]) < image.size_bytes < len(source["data"]) + 200


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (png(100, 80), 11),  # 8,000 / 750
        (png(1_000, 750), 1_000),
        (webp_extended(1_500, 3), 6),
        (jpeg_with_thumbnail(750, 30), 30),
        (png(1, 1), 1),
        (png(2_000, 2_000), 1_600),  # scaled down by the service
    ],
    ids=["png", "large", "webp", "jpeg", "pixel", "scaled"],
)
def test_the_tokens_are_worked_out_from_the_size(data, tokens):
    assert image_of(data).tokens == tokens


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"BM" + bytes(100), "is no image that Bedrock takes: png, jpeg, gif and webp"),
        (b"<svg/>", "is no image"),
        (bytes(MOST_BYTES + 1), "has 3,750,001 bytes, Bedrock takes 3,750,000"),
        (png()[:20], "is a png whose header cannot be read"),
        (JPEG[:40], "is a jpeg whose header cannot be read"),
        (b"\xff\xd8\xff\xd9", "is a jpeg whose header cannot be read"),
        (b"RIFF\0\0\0\0WEBPVP9 ", "is a webp whose header cannot be read"),
        (GIF[:8], "is a gif whose header cannot be read"),
        (webp_extended(8_001, 1), "has 8,001 × 1 pixels, Bedrock takes 8,000 a side"),
        (jpeg_with_thumbnail(1, 8_001), "has 1 × 8,001 pixels"),
        (jpeg_with_thumbnail(0, 5), "is a jpeg of 0 × 5 pixels"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_bedrock_would_refuse_is_refused_with_why(data, says):
    with pytest.raises(ValueError, match=says):
        image_of(data)


@given(st.sampled_from([png(3, 3), JPEG, GIF, WEBP_LOSSY, WEBP_LOSSLESS]), st.integers(0, 60), st.binary(max_size=40))
def test_no_bytes_whatever_raise_anything_else(start, cut, rest):
    with suppress(ValueError):
        assert image_of(start[:cut] + rest).tokens >= 1
