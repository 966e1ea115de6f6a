"""Durations as people write them: "20s", "1h30m", "2h", "1d", or a number of seconds."""

import math
import re

UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}  # in the order they may follow each other
WRITTEN = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+(?:\.[0-9]+)?){unit})?" for unit in UNITS_S))


def seconds(value: object) -> float:
    """Return the duration `value` [s].

    Raises ValueError if it is negative, not finite or not a duration.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf:
        return float(value)
    if isinstance(value, str) and value and (written := WRITTEN.fullmatch(value)):
        return sum(float(count) * UNITS_S[unit] for unit, count in written.groupdict().items() if count)
    raise ValueError('must be a duration such as "20s", "1h30m", "2h" or "1d", or a number of seconds')
