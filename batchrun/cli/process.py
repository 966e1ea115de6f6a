"""The process around a command: its streams, its signals, and threads that will not end."""

import os
import signal
import sys
import threading
from io import TextIOWrapper
from typing import NoReturn

from batchrun.cli.commands import app
from batchrun.cli.saying import leave
from batchrun.errors import RunStopped
from batchrun.signals import heeded

THREADS_END_S = 0.5  # an idle thread of a pool ends in no time


def main() -> NoReturn:
    """Run the command line; the exit code says how it ended."""
    _open_closed_streams()
    for one in heeded():
        signal.signal(one, signal.default_int_handler)  # until a run listens itself
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that is not UTF-8 shows «≤» as an escape
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        leave(RunStopped("interrupted"))
    except SystemExit as end:
        _leave_threads(end)
        raise
    sys.exit(0)


def _open_closed_streams() -> None:
    """Lead standard streams that are closed nowhere: else a file of the run gets their number, and what is printed."""
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, mode))


def _leave_threads(end: SystemExit) -> None:
    """End the process at once if a thread does not end, as in a sink that hangs: an ordinary end would wait for it."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for one in others:
        one.join(THREADS_END_S)
    if isinstance(end.code, int) and any(one.is_alive() for one in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)
