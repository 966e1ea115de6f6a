"""One run at a time holds an output, and the kernel frees it when the run dies, however it dies."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchrun.errors import LockedError, StorageError
from batchrun.storage.lock import FolderLock, holder, is_held

HOLD = """
import sys
from pathlib import Path
from batchrun.storage.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with other_process(path) as process:
        with pytest.raises(LockedError) as told, FolderLock(path):
            pass
        assert is_held(path)

    assert f"{tmp_path}: another run holds this output: process {process.pid} on {socket.gethostname()}, since 20" in (
        str(told.value)
    )


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with other_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert not is_held(path)
        with FolderLock(path):
            assert holder(path).startswith(f"process {os.getpid()} on ")


def test_a_refused_process_leaves_the_name_of_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with FolderLock(path):
        for _ in range(2):
            with pytest.raises(LockedError, match=f"process {os.getpid()} on"), FolderLock(path):
                pass


def test_a_lock_can_be_taken_again_and_tells_no_name_in_between(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        with FolderLock(path):
            assert is_held(path)
        assert not is_held(path)
        assert holder(path) == "a process that left no name"


def test_a_lock_that_was_never_made_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")


def test_a_lock_without_its_folder_is_an_error_of_storage(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"), FolderLock(tmp_path / "gone" / "lock"):
        pass
