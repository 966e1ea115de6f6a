"""Progress: a snapshot of a run every second, for the bar on a terminal, the lines on a pipe and status.json."""

import os
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TextIO

import anyio
from tqdm import tqdm

from batchrun.clock import Clock
from batchrun.errors import StorageError
from batchrun.lanes.gate import Gate
from batchrun.screen.printable import in_one_line
from batchrun.screen.tally import Tally
from batchrun.storage.files import as_json
from batchrun.storage.output import Output
from batchrun.storage.store import STATUS

EVERY_S = 1.0
REMOTE_EVERY_S = 10.0  # status.json in a store, which takes money for each write
LINE_EVERY_S = 30.0  # on a pipe
RATE_OVER_S = 60.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment; rows and dollars over the output's life, the rest since this start."""

    state: str
    run_id: str
    pid: int
    updated_at: str
    rows: int
    rows_total: int
    by_status: dict[str, int]
    rows_per_s: float
    tokens_per_minute: float
    quota_tokens_per_minute: float | None
    usd: float
    throttled: int
    in_flight: int
    waiting: int
    eta_s: float | None

    def line(self) -> str:
        """Return the one line that people read."""
        quota = f"/{_short(self.quota_tokens_per_minute)}" if self.quota_tokens_per_minute else ""
        left = f", {_clock(self.eta_s)} left" if self.eta_s is not None else ""
        return (
            f"{self.rows:,}/{self.rows_total:,} rows, {self.rows_per_s:.1f} rows/s, "
            f"{_short(self.tokens_per_minute)}{quota} quota tokens/min, ${self.usd:.4f}, "
            f"{self.throttled} throttled{left}"
        )


class Progress:
    """Takes a snapshot every second and shows it where it is wanted."""

    def __init__(self, gate: Gate | None, output: Output, tally: Tally, clock: Clock) -> None:
        """Take the parts of a run; without a gate nothing is sent and nothing waits."""
        self._gate = gate
        self._output = output
        self._tally = tally
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._warned = 0

    async def watch(self, screen: TextIO | None) -> None:
        """Show progress on `screen` and keep status.json until cancelled."""
        store, written_s = self._output.target.store, float("-inf")
        shown = _Bar(screen, self._output) if screen is not None and screen.isatty() else _Lines(screen)
        try:
            while True:
                snapshot = self.snapshot("running")
                try:
                    shown.show(snapshot, self._clock.now_s())
                    self._warn(screen)
                except OSError as error:  # a terminal that was closed, a pipe whose reader has gone
                    self._tally.note_once(f"progress could not be shown: {error.strerror}")
                    shown = _Lines(None)
                if not store.remote:
                    self.write(snapshot)
                elif self._clock.now_s() >= written_s + REMOTE_EVERY_S:
                    written_s = self._clock.now_s()
                    await anyio.to_thread.run_sync(self.write, snapshot)
                await self._clock.sleep(EVERY_S)
        finally:
            shown.close()

    def _warn(self, screen: TextIO | None) -> None:
        """Show warnings as they come: what costs money is to be seen before the summary."""
        new = self._tally.warnings[self._warned :]
        self._warned += len(new)
        for warning in new:
            if screen is not None:
                tqdm.write(f"warning: {in_one_line(warning)}", file=screen)

    def snapshot(self, state: str) -> Snapshot:
        """Return the run as it stands now."""
        now_s = self._clock.now_s()
        totals = self._output.totals
        rate = self._rows_per_s(now_s, totals.rows)
        pools = self._gate.admissions.router.booked() if self._gate is not None else ()
        quotas = [pool.quota.tokens_per_minute for pool in pools]
        rows_total = self._output.ranges.rows
        return Snapshot(
            state=state,
            run_id=self._output.target.run_id,
            pid=os.getpid(),
            updated_at=self._clock.today().isoformat(timespec="seconds"),
            rows=totals.rows,
            rows_total=rows_total,
            by_status=dict(totals.by_status),
            rows_per_s=round(rate, 3),
            tokens_per_minute=round(sum(pool.used_tokens(now_s) for pool in pools)),
            quota_tokens_per_minute=sum(quota or 0 for quota in quotas) or None,
            usd=round(totals.spent_usd, 6),
            throttled=self._tally.throttled,
            in_flight=self._gate.admissions.in_flight if self._gate is not None else 0,
            waiting=len(self._gate) if self._gate is not None else 0,
            eta_s=round((rows_total - totals.rows) / rate, 1) if rate > 0 else None,
        )

    def write(self, snapshot: Snapshot) -> None:
        """Replace status.json; a full disk must not end a run that still has calls out."""
        try:
            self._output.target.store.write(STATUS, as_json(asdict(snapshot)), sync=False)
        except (OSError, StorageError) as error:
            self._tally.note_once(f"status.json could not be written: {getattr(error, 'strerror', None) or error}")

    def _rows_per_s(self, now_s: float, rows: int) -> float:
        self._seen.append((now_s, rows))
        while self._seen[0][0] < now_s - RATE_OVER_S:
            self._seen.popleft()
        first_s, first_rows = self._seen[0]
        return (rows - first_rows) / (now_s - first_s) if now_s > first_s else 0.0


def say(screen: TextIO | None, line: str) -> None:
    """Show a line before any progress, where there is a screen that takes it."""
    if screen is not None:
        with suppress(OSError):
            tqdm.write(in_one_line(line), file=screen)


class _Bar:
    """tqdm's bar, for a terminal."""

    def __init__(self, screen: TextIO, output: Output) -> None:
        self._bar = tqdm(total=output.ranges.rows, initial=output.totals.rows, unit="row", file=screen, leave=True)

    def show(self, snapshot: Snapshot, now_s: float) -> None:
        del now_s
        quota = f"/{_short(snapshot.quota_tokens_per_minute)}" if snapshot.quota_tokens_per_minute else ""
        self._bar.set_postfix_str(
            f"{_short(snapshot.tokens_per_minute)}{quota} tok/min, ${snapshot.usd:.4f}, {snapshot.throttled} throttled",
            refresh=False,
        )
        self._bar.update(snapshot.rows - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """A line every 30 s, for a pipe or a log; nothing without a screen."""

    def __init__(self, screen: TextIO | None) -> None:
        self._screen = screen
        self._next_s = float("-inf")

    def show(self, snapshot: Snapshot, now_s: float) -> None:
        if self._screen is not None and now_s >= self._next_s:
            self._next_s = now_s + LINE_EVERY_S
            tqdm.write(snapshot.line(), file=self._screen)
            self._screen.flush()

    def close(self) -> None:
        pass


def _short(number: float | None) -> str:
    return tqdm.format_sizeof(number or 0)


def _clock(seconds: float) -> str:
    return tqdm.format_interval(int(seconds))
