"""Answers by what was asked: a SQLite file beside the logs, so that an equal request need not be sent again.

It is derived: all that it holds stands in logs and parts, so it is never synced, and made anew where it is missing or
damaged. A kill may take what was put in last; a power cut may leave anything, so every answer carries a checksum over
itself and its question, and is unknown where that does not fit.
"""

import sqlite3
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from batchrun.errors import StorageError
from batchrun.records import Outcome
from batchrun.storage.log_lines import content_of, outcome_line, outcome_of
from batchrun.storage.ranges import Range

NAME = "dedupe.sqlite"
FORMAT = 1
PUTS_PER_COMMIT = 1_000  # a kill takes at most so many: the next start puts them in again from the logs
CACHE_KIB = 16_384
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (row INTEGER PRIMARY KEY, digest BLOB, checksum INTEGER, line BLOB);
CREATE TABLE IF NOT EXISTS asked (digest BLOB PRIMARY KEY, row INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ranges (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS output (run_id TEXT PRIMARY KEY);
"""


class KnownAnswers:
    """The outcomes of rows that were answered, by the digests of their requests; one process at a time."""

    def __init__(self, folder: Path, run_id: str) -> None:
        """Open the answers of a run, none where the file is missing, damaged or another run's.

        Raises StorageError if the folder takes no such file.
        """
        self._path = folder / NAME
        self._uncommitted = 0
        try:
            self._open(run_id)
        except sqlite3.DatabaseError:
            self.remove()
            try:
                self._open(run_id)
            except sqlite3.DatabaseError as error:
                raise StorageError(f"{self._path}: {error}") from error

    def __repr__(self) -> str:
        return f"KnownAnswers({str(self._path)!r})"

    def get(self, digest: bytes) -> Outcome | None:
        """Return the outcome of the row that asked the same, None if there is none.

        Raises StorageError if the file does not read; it is removed, and the next start makes it anew.
        """
        found = self._execute(
            "SELECT line, checksum FROM asked JOIN answers USING (row) WHERE asked.digest = ? AND answers.digest = ?",
            (digest, digest),
        ).fetchone()
        if found is None or not isinstance(found[0], bytes) or found[1] != zlib.crc32(digest + found[0]):
            return None
        content = content_of(found[0])
        return outcome_of(content["outcome"]) if content is not None else None

    def put(self, digest: bytes, outcome: Outcome) -> None:
        """Keep the outcome of a row that was answered; the log has it already.

        Raises StorageError if the file cannot be written.
        """
        line = outcome_line(outcome)
        checksum = zlib.crc32(digest + line)
        self._execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (outcome.row, digest, checksum, line))
        self._execute("INSERT OR REPLACE INTO asked VALUES (?, ?)", (digest, outcome.row))
        self._uncommitted += 1
        if self._uncommitted >= PUTS_PER_COMMIT:
            self.commit()

    def rows_of(self, of: Range) -> set[int]:
        """Return the rows of a range whose answers are here."""
        found = self._execute("SELECT row FROM answers WHERE row >= ? AND row < ?", (of.first_row, of.stop_row))
        return {row for (row,) in found}

    def forget(self, rows: Iterable[int]) -> None:
        """Drop the answers of rows that have no outcome any more, or never had: they are to be sent."""
        for row in rows:
            self._execute("DELETE FROM asked WHERE row = ? AND digest IN (SELECT digest FROM answers WHERE row = ?)",
                          (row, row))  # fmt: skip
            self._execute("DELETE FROM answers WHERE row = ?", (row,))

    def whole_ranges(self) -> Collection[int]:
        """Return the numbers of the ranges whose answers are all here."""
        return {number for (number,) in self._execute("SELECT number FROM ranges")}

    def range_is_whole(self, number: int) -> None:
        """Note that all answers of a range are here, before its log goes."""
        self._execute("INSERT OR IGNORE INTO ranges VALUES (?)", (number,))
        self.commit()

    def commit(self) -> None:
        """Hand to the system what was put in; a kill takes nothing of it any more."""
        self._uncommitted = 0
        self._execute("COMMIT")
        self._execute("BEGIN")

    def close(self) -> None:
        """Close the file; it stays."""
        with suppress(sqlite3.DatabaseError):  # what is missing is put in again from the logs
            self._connection.execute("COMMIT")
        self._connection.close()

    def remove(self) -> None:
        """Remove the file and what SQLite keeps beside it."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _open(self, run_id: str) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = OFF"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            self._connection.executescript(_TABLES)
            owners = self._connection.execute("SELECT run_id FROM output").fetchall()
            if version not in (0, FORMAT) or owners not in ([], [(run_id,)]):
                raise sqlite3.DatabaseError("another run's")
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
            self._connection.execute("INSERT OR IGNORE INTO output VALUES (?)", (run_id,))
            self._connection.execute("BEGIN")
        except BaseException:
            self._connection.close()
            raise

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:  # the disk is full, or gone
            raise StorageError(f"{self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self._connection.close()
            self.remove()
            raise StorageError(f"{self._path}: {error}; it is removed, and the next start makes it anew") from error
