"""How far the estimates of input tokens were from what Bedrock counted."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class InputErrors:
    """Sums over rows of estimate / count - 1: with its sign the bias, without it the size of the error."""

    rows: int = 0
    counted: int = 0
    _errors: float = 0.0
    _sizes: float = 0.0

    def add(self, estimated: int, counted: int) -> None:
        """Compare what was held for a row's input with what it came to [tokens]."""
        if counted:
            error = estimated / counted - 1
            self.rows += 1
            self.counted += counted
            self._errors += error
            self._sizes += abs(error)

    @property
    def input_per_row(self) -> float:
        """Return the mean of what was counted [tokens], 0 without any."""
        return self.counted / max(self.rows, 1)

    def record(self) -> dict[str, Any]:
        """Return what programs are told; None where nothing was counted."""
        return {
            "input_error_mean": round(self._errors / self.rows, 4) if self.rows else None,
            "input_error_mean_abs": round(self._sizes / self.rows, 4) if self.rows else None,
        }


def estimates_text(record: dict[str, Any]) -> str | None:
    """Return the same for people, None if there is nothing to say."""
    bias, size = record["input_error_mean"], record["input_error_mean_abs"]
    if bias is None:
        return None
    side = "above" if bias >= 0 else "below"
    return f"input tokens {100 * abs(bias):.1f} % {side} the count on average, {100 * size:.1f} % off in a row"
