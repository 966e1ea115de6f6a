"""Metering: what all pools of a run go by besides their quotas."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Metering:
    """Where the calendar stands, and what is known of the way to Bedrock and of its rules.

    `day_ends_at_s` is when day quotas turn, on the run's clock; as a full minute of the calendar it is also where a
    window of a minute is likeliest to turn. `skew_s` is how much longer than a minute a charge is kept, since a call
    leaves us before it arrives there. `burndown` is the quota tokens of an output token. `round_trip_s` is how long a
    refusal is taken to be under way before one was seen: 30-150 ms between a client and AWS. A guess.
    """

    day_ends_at_s: float = inf
    skew_s: float = 0.0
    burndown: float = 5.0
    round_trip_s: float = 0.15
