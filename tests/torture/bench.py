"""A bench: one output and its job, to be damaged by hand and looked at afterwards."""

from pathlib import Path

import pyarrow.parquet as pq

from tests.torture.books import Books, Paid
from tests.torture.jobs import KINDS, Kind, write_job
from tests.torture.points import AFTER, PLAIN, Death
from tests.torture.power import Power
from tests.torture.remains import empty, look
from tests.torture.zygote import Ended, Zygote


class Bench:
    """Runs a job's commands, and keeps what the books said when it began."""

    def __init__(self, zygote: Zygote, books: Books, base: Path, kind: Kind = KINDS[PLAIN]) -> None:
        self.base = base
        self.kind = kind
        self.output = base / "out"
        self.job = write_job(base, kind, books.url, base.name)
        self._zygote = zygote
        self._books = books
        self._at_first = books.once_quiet()

    @property
    def paid(self) -> Paid:
        """What was paid for since the bench was made."""
        return self._books.once_quiet().since(self._at_first)

    @property
    def rows(self) -> list[int]:
        """The rows of the result in the order of its files."""
        parts = sorted((self.output / "data").glob("*.parquet"))
        return [row for part in parts for row in pq.read_table(part, columns=["row"])["row"].to_pylist()]

    @property
    def in_flight(self) -> int:
        """How many rows the logs say were on their way when the last start ended."""
        return len(look(self.base, empty()).in_flight)

    @property
    def whole(self) -> bool:
        """Tell whether every row is there once, and `verify` says so."""
        return self.rows == list(range(self.kind.rows)) and self.on_job("verify").code == 0

    def on_job(self, command: str, *arguments: str, prepare: tuple[str, ...] = ()) -> Ended:
        """Run a command on the job to its end."""
        return self._zygote.run(self.output, command, str(self.job), *arguments, prepare=prepare)

    def run_on(
        self,
        power: Power,
        *arguments: str,
        death: Death | None = None,
        kill_after_s: float | None = None,
        prepare: tuple[str, ...] = (),
        name: str = "run",
    ) -> Ended:
        """Start the job on a disk that keeps a journal, and have it killed."""
        command = (name, str(self.job), "--json", "--quiet", *arguments)
        return self._zygote.run(
            self.output, *command, death=death, kill_after_s=kill_after_s, prepare=prepare, journal=power.kept
        )

    def run(self, *arguments: str, prepare: tuple[str, ...] = ()) -> Ended:
        """Start the job, and wait for its end."""
        return self.on_job("run", "--json", "--quiet", *arguments, prepare=prepare)

    def begin(self, point: str = "log append outcome", when: str = AFTER, nth: int = 30) -> None:
        """Start the job and have it killed; 30 of 48 outcomes are two parts and a log or two."""
        death = Death(point, when, nth)
        ended = self._zygote.run(self.output, "run", str(self.job), "--json", "--quiet", death=death)
        assert ended.died_at_point, ended

    def logs(self) -> list[Path]:
        """Name the logs that there are."""
        return sorted((self.output / "wal").glob("*.log"))

    def part(self, number: int) -> Path:
        """Name a part."""
        return self.output / "data" / f"part-{number:06d}.parquet"
