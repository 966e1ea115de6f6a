"""An episode: one output that is killed several times, gone on with to its end, and then held against the books."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from tests.torture.books import Books, Paid
from tests.torture.jobs import KINDS, Kind, prompt_of, write_job
from tests.torture.points import PLAIN, Death
from tests.torture.remains import Remains, dollars_of, empty, look
from tests.torture.zygote import Ended, Zygote

A_CENT_OF_A_CENT = 1e-6  # USD; the log writes dollars with nine digits


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a run, and how it is to die, if it is; `told_as` is its line in the table."""

    told_as: str
    death: Death | None = None
    kill_after_s: float | None = None
    kill_after_share: float | None = None  # of the time that a whole run takes on this machine
    command: tuple[str, ...] = ("run",)
    max_cost_usd: float | None = None
    forced: bool = False  # a point that this start passes for certain, or an end that it comes to
    prepare: tuple[str, ...] = ()  # a function of machines.py that the run calls first


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen to one output, all of it drawn from `seed`."""

    seed: int
    kind: Kind
    starts: tuple[Start, ...]


@dataclass(slots=True)
class Kill:
    """One kill and what it cost."""

    told_as: str
    death: Death | None
    in_flight: int  # calls that were out, counted with those that their rows' way takes
    lost: int = 0
    paid_twice: int = 0


@dataclass(slots=True)
class Story:
    """What happened in an episode."""

    plan: Plan
    kills: list[Kill] = field(default_factory=list)
    missed: list[Start] = field(default_factory=list)  # points that a run did not come to
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)  # what must not be

    def __str__(self) -> str:
        killed = "; ".join(f"{kill.told_as} ({kill.death or 'a moment'})" for kill in self.kills)
        return f"seed {self.plan.seed}, job {self.plan.kind.name}, killed: {killed or 'never'}"


class Episode:
    """Plays a plan out in a folder of its own."""

    def __init__(self, zygote: Zygote, books: Books, base: Path) -> None:
        self._zygote = zygote
        self._books = books
        self._base = base
        self._output = base / "out"
        self._run_s = 0.0

    def play(self, plan: Plan) -> Story:
        """Kill, go on, and look what is there; raises nothing of what it finds wrong."""
        if not self._run_s:
            self._run_s = self._time_of_a_run()
        shutil.rmtree(self._base, ignore_errors=True)
        self._base.mkdir(parents=True)
        self._plan = plan
        self._tag = f"seed{plan.seed}"
        self._job = write_job(self._base, plan.kind, self._books.url, self._tag)
        self._story = Story(plan)
        self._remains = empty()
        self._at_first = self._books.once_quiet()
        self._paid_usd = 0.0
        self._beyond = 0  # calls paid for beyond those that the rows need, so far
        for start in plan.starts:
            ended = self._start(start)
            self._look_after(start, ended)
            if ended.hung or (ended.code == 0 and not start.forced):
                break  # there is nothing left to kill
        self._end()
        return self._story

    def _told(self, wrong: str) -> None:
        self._story.wrong.append(wrong)

    def _start(self, start: Start) -> Ended:
        cap = ("--set", f"limits.max_cost_usd={start.max_cost_usd}") if start.max_cost_usd is not None else ()
        name, *options = start.command
        arguments = (name, str(self._job), "--json", "--quiet", *options, *cap)
        kill_after_s = start.kill_after_s
        if start.kill_after_share is not None:
            kill_after_s = start.kill_after_share * self._run_s
        return self._zygote.run(
            self._output, *arguments, death=start.death, kill_after_s=kill_after_s, prepare=start.prepare
        )

    def _time_of_a_run(self) -> float:
        shutil.rmtree(self._base, ignore_errors=True)
        self._base.mkdir(parents=True)
        job = write_job(self._base, KINDS[PLAIN], self._books.url, "rehearsal")
        return self._zygote.run(self._output, "run", str(job), "--quiet").wall_s

    def _look_after(self, start: Start, ended: Ended) -> None:
        """Note a kill and what it had in flight, and whether anything that was there has gone."""
        found, paid = look(self._base, self._remains), self._books.once_quiet().since(self._at_first)
        lost = self._lost(found)
        if lost:
            self._told(f"{start.told_as}: {lost} recorded outcomes are gone")
        if ended.hung:
            self._told(f"{start.told_as}: hangs")
        elif ended.killed:
            calls = sum(self._plan.kind.calls(row) for row in found.in_flight)
            self._story.kills.append(Kill(start.told_as, start.death, calls, lost))
            if start.death is not None and not ended.died_at_point:
                self._told(f"{start.told_as}: killed, but not there")
        elif start.death is not None:
            self._story.missed.append(start)
        if not ended.killed and ended.code not in ({0, 3} if start.max_cost_usd is not None else {0}):
            self._told(f"{start.told_as}: exit {ended.code}: {ended.err or ended.out}")
        if start.max_cost_usd is not None and paid.usd > max(start.max_cost_usd, self._paid_usd):
            self._told(f"{start.told_as}: {paid.usd:.6f} USD were paid, above limits.max_cost_usd")
        self._charge(start, paid, found)
        self._remains, self._paid_usd = found, paid.usd

    def _lost(self, found: Remains) -> int:
        """Return how many recorded outcomes are gone; one of a row that is sent again may make room for another."""
        gone = self._remains.outcomes - found.outcomes
        rows = {row for row, _ in found.outcomes}
        return sum(row not in rows or not self._plan.kind.sent_again(row) for row, _ in gone)

    def _charge(self, start: Start, paid: Paid, found: Remains) -> None:
        """Lay what was paid for twice at the door of the earliest kills that had as many calls in flight."""
        beyond = max(0, paid.repeated - self._needed_again(found))
        new, self._beyond = max(0, beyond - self._beyond), max(beyond, self._beyond)
        for kill in self._story.kills:
            taken = min(new, kill.in_flight - kill.paid_twice)
            kill.paid_twice += taken
            new -= taken
        if new:
            self._told(f"{start.told_as}: {new} calls were paid for twice beyond those in flight at the kills")

    def _needed_again(self, found: Remains) -> int:
        """Return how many calls beyond a prompt's first are nobody's fault: rows' own ways, and outputs begun anew."""
        kind = self._plan.kind
        own = sum(kind.calls(row) - 1 + kind.sent_again(row) for row in range(kind.rows))
        return own + sum(kind.calls(row) for row, _ in found.aside)

    def _end(self) -> None:
        """Go on to the end, and hold the result against input and books."""
        for end in ("the end", "a start after the end"):
            self._look_after(Start(end), self._start(Start(end)))
        verified = self._zygote.run(self._output, "verify", str(self._job))
        if verified.code != 0:
            self._told(f"verify says: {verified.out}{verified.err}")
            return
        self._check_rows()
        self._check_leftovers()
        self._check_dollars()

    def _check_rows(self) -> None:
        parts = sorted((self._output / "data").glob("*.parquet"))
        tables = [pq.read_table(part, columns=["row", "text", "status"]) for part in parts]
        rows = [row for table in tables for row in table["row"].to_pylist()]
        texts = [text for table in tables for text in table["text"].to_pylist()]
        self._story.doubled = sum(count - 1 for count in Counter(rows).values())
        if rows != list(range(self._plan.kind.rows)):
            self._told(f"the rows of the result are {_few(rows)}")
        for row, text in zip(rows, texts, strict=True):
            if text is None or prompt_of(self._tag, row) not in text:
                self._told(f"row {row} has the answer {str(text)[:60]!r}")

    def _check_leftovers(self) -> None:
        left = [
            str(path.relative_to(self._output))
            for folder in ("wal", "tmp")
            for path in (self._output / folder).iterdir()
        ]
        if left:
            self._told(f"a finished output holds {left}")

    def _check_dollars(self) -> None:
        """The parts must account for what was paid: costs, and the most that calls of unknown end can have cost."""
        if any("--fresh" in start.command for start in self._plan.starts):
            return  # what the old output cost is in what was moved aside
        paid = self._books.once_quiet().since(self._at_first)
        accounted_usd = sum(dollars_of(part) for part in sorted((self._output / "data").glob("*.parquet")))
        if accounted_usd < paid.usd - A_CENT_OF_A_CENT:
            self._told(f"{paid.usd:.6f} USD were paid, the parts account for {accounted_usd:.6f}")


def _few(rows: Sequence[int]) -> str:
    return f"{list(rows)[:60]}{' …' if len(rows) > 60 else ''}"
