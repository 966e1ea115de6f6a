"""Where an output lives: objects that appear whole or not at all, in a folder of this machine or in an object store."""

from collections.abc import Collection, Hashable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

MANIFEST = "manifest.json"  # what the output belongs to
SUCCESS = "_SUCCESS"  # written last, when every row has its result and few enough of them are not ok
STATUS = "status.json"  # the state of a run, every second or so
SUMMARY = "summary.json"  # what the last run printed with --json
REPORT = "report.html"  # for people


class Hold(Protocol):
    """The lock of an output, held by this run."""

    @property
    def lost(self) -> str | None:
        """Why another run may write here by now; None while the lock is ours."""

    def renew(self) -> None:
        """Prove that the lock is still ours, before something is written that must not be written late.

        Raises LockedError if it is not.
        """


class Store(Protocol):
    """An output by the names of its objects: `manifest.json`, `_SUCCESS`, …, and its parts.

    Errors of the system or of the network are OSError or StorageError, both naming the object.
    """

    @property
    def name(self) -> str:
        """What messages call the output."""

    @property
    def wal(self) -> Path:
        """The folder of this machine with the logs of ranges that are not parts yet."""

    @property
    def tmp(self) -> Path:
        """The folder of this machine with parts being written."""

    @property
    def remote(self) -> bool:
        """Whether calls go over a network: they may take seconds, and the logs need copies there."""

    def make(self) -> None:
        """Make the place ready.

        Raises StorageError if that cannot be done, InputError if it holds something that is not batchrun's.
        """

    def hurry(self) -> None:
        """Wait for the store no longer than about a second from now; what takes longer raises HurriedError.

        Returns at once, so an event loop may call it.
        """

    def hold(self) -> AbstractContextManager[Hold]:
        """Return the lock, to be entered.

        Raises LockedError on entry if another run holds the output.
        """

    def is_held(self) -> bool:
        """Tell whether a run holds the output now."""

    def where(self, name: str) -> str:
        """Return what messages call an object."""

    def exists(self, name: str) -> bool:
        """Tell whether an object is there."""

    def read(self, name: str) -> bytes:
        """Return an object's content; FileNotFoundError if it is not there."""

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        """Replace an object; without `sync` a power cut may bring the old one back."""

    def remove(self, name: str) -> None:
        """Remove an object that may be there."""

    def names(self, folder: str) -> Mapping[str, Hashable]:
        """Return all that lies in a folder of the output, such as `data`, by name; none where there is no such.

        With each name comes a stamp that is another one once the object was replaced.
        """

    def open(self, name: str) -> pa.NativeFile:
        """Open an object for random reads."""

    def publish(self, beside: Path, name: str) -> None:
        """Make a whole and synced file of `tmp` the object `name`, also in place of one that is there."""

    def adopt(self, run_id: str) -> None:
        """Say which run's logs are meant by `wal` and `tmp`."""

    def logs(self) -> set[str]:
        """Return the names of the adopted run's logs, here or in copies."""

    def fetch_logs(self) -> None:
        """Bring the logs of the run to `wal` that another machine left in the store; the lock must be held."""

    def flush_logs(self, names: Collection[str]) -> None:
        """Copy to the store what was appended to these logs; meant for a thread beside the event loop."""

    def remove_log(self, name: str) -> None:
        """Remove a log whose part is there, and its copies."""

    def move_aside(self) -> str | None:
        """Move an earlier output out of the way, deleting nothing; return where it went."""

    def clear_tmp(self) -> None:
        """Remove what a killed run left half written."""
