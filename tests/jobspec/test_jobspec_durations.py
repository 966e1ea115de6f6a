"""Durations as people write them."""

import pytest

from batchrun.jobspec import seconds


@pytest.mark.parametrize(
    ("written", "expected_s"),
    [
        ("20s", 20),
        ("15m", 900),
        ("1h30m", 5_400),  # 3,600 + 1,800
        ("2h", 7_200),
        ("1d", 86_400),
        ("1d2h3m4.5s", 93_784.5),  # 86,400 + 7,200 + 180 + 4.5
        ("0.5h", 1_800),
        ("0s", 0),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_a_duration_is_read_as_seconds(written, expected_s):
    assert seconds(written) == expected_s


@pytest.mark.parametrize(
    "written",
    ["", "20", "s", "-5s", "1m1h", "1h 30m", "1w", "٣s", "1h\n", -1, True, None, float("nan"), float("inf"), [1]],
)
def test_what_is_no_duration_is_refused_with_examples(written):
    with pytest.raises(ValueError, match="must be a duration such as"):
        seconds(written)
