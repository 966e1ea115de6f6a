"""What a run under torture may find around it, or have wrong with itself; called in the run's own process."""

from collections.abc import Callable
from functools import wraps
from typing import Any

# Sabotage: a harness that does not find these proves nothing.


def forgets_an_outcome() -> None:
    """Note every fifth outcome in memory alone, as if the write-ahead log did not matter."""
    from batchrun.storage import wal

    outcome_line = wal.outcome_line

    def forgetful(outcome: Any) -> bytes:
        line = outcome_line(outcome)
        return line if outcome.row % 5 else b"00000000 " + line[9:]

    wal.outcome_line = forgetful


def notes_no_call() -> None:
    """Send calls without a line in the log before."""
    from batchrun.storage.wal import RangeLog

    RangeLog.sent = _nothing(RangeLog.sent)  # type: ignore[method-assign]


def forgets_to_sync_parts() -> None:
    """Let parts be renamed without their bytes on disk."""
    from batchrun.storage import part_facts

    class NoSync:
        def __getattr__(self, name: str) -> Any:
            import os

            return (lambda _: None) if name == "fsync" else getattr(os, name)

    part_facts.os = NoSync()  # type: ignore[assignment]


def _nothing(call: Callable[..., None]) -> Callable[..., None]:
    @wraps(call)
    def nothing(*arguments: Any, **options: Any) -> None:
        del arguments, options

    return nothing
