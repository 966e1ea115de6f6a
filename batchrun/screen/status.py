"""The state of an output as its files tell it, while a run goes on or after."""

import json
from collections.abc import Mapping
from typing import Any

from batchrun.errors import InputError, StorageError
from batchrun.storage.store import STATUS, SUCCESS, Store


def read_status(store: Store) -> dict[str, Any]:
    """Return the last state that a run wrote; `state` is running, killed, stopped or finished.

    Raises InputError if no run ever wrote here, or what it wrote is damaged, StorageError if it cannot be read.
    """
    try:
        told: dict[str, Any] = json.loads(store.read(STATUS))
        status_text(told)  # half a file, or one of another's making, is told here and not while it is shown
    except FileNotFoundError as error:
        raise InputError(f"output.path {store.name}: no run has written here yet; start one: batchrun run") from error
    except OSError as error:
        raise StorageError(f"{store.name}: {STATUS} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{store.name}: {STATUS} is damaged; the next batchrun run writes it anew") from error
    if told["state"] == "running" and not store.is_held():
        told["state"] = "killed"
    told["success"] = store.exists(SUCCESS)
    return told


def status_text(told: Mapping[str, Any]) -> str:
    """Return one screen for people."""
    hints = {"killed": " (run it again to go on)", "stopped": " (run it again to go on)"}
    by_status = ", ".join(f"{rows:,} {status}" for status, rows in sorted(told["by_status"].items())) or "none yet"
    share = 100 * told["rows"] / told["rows_total"] if told["rows_total"] else 100.0
    quota = told["quota_tokens_per_minute"]
    lines = [
        f"{told['state']}{hints.get(told['state'], '')}, as of {told['updated_at']}, process {told['pid']}",
        f"  rows       {told['rows']:,} of {told['rows_total']:,} ({share:.1f} %): {by_status}",
        f"  dollars    {told['usd']:.6f}",
    ]
    if told["state"] == "running":
        of = f" of {quota:,.0f}" if quota else ""
        left = "unknown" if told["eta_s"] is None else f"{told['eta_s']:.0f} s"
        lines += [
            f"  speed      {told['rows_per_s']:.1f} rows/s, {told['tokens_per_minute']:,.0f}{of} quota tokens/min",
            f"  calls      {told['in_flight']} in flight, {told['waiting']} waiting, {told['throttled']} throttled",
            f"  time left  {left}",
        ]
    return "\n".join(lines)
