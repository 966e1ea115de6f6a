"""Saying: what a command prints and how it ends; the only file that prints."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from batchrun.errors import BatchrunError, RunStopped


@contextmanager
def errors(as_json: bool, *, run: bool = False) -> Iterator[None]:
    """Turn what ends a command into a message and its exit code; `run` tells that it is one that sends rows."""
    try:
        yield
    except BatchrunError as error:
        _fail(error, as_json, run=run)
    except KeyboardInterrupt:
        leave(RunStopped("interrupted"))
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - a bug of ours: say so, never with the exit code of a finished run
        # Where and what, but not the error's own words: they may quote a row, and logs are kept.
        say("".join(traceback.format_tb(error.__traceback__)).rstrip(), "stderr")
        way_on = "; the output can be gone on with" if run else ""
        _fail(RunStopped(f"internal error: {type(error).__name__}{way_on}"), as_json, run=run)


def tell(told: Any, text_of: Callable[[Any], str], *, as_json: bool) -> None:
    """Print what a command found, for programs or for people."""
    say(json.dumps(told) if as_json else text_of(told))


def say(text: str, to: str = "stdout") -> None:
    """Print; a reader that has gone or a full disk changes nothing about how the command ended."""
    from batchrun.screen.printable import printable

    stream = getattr(sys, to)
    try:
        print(printable(text), file=stream, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if to == "stdout" and not isinstance(error, BrokenPipeError):  # `batchrun lanes | head` is no matter
            say(f"batchrun: stdout: {error.strerror}", "stderr")


def leave(error: BatchrunError) -> NoReturn:
    """End the process at once: a thread may still scan the input, and an ordinary end would wait for it."""
    say(f"batchrun: {error}", "stderr")
    os._exit(error.exit_code)


def _fail(error: BatchrunError, as_json: bool, *, run: bool) -> NoReturn:
    if as_json:
        from batchrun.screen.summary import empty_summary

        ended = {"exit_code": error.exit_code, "reason": str(error)}
        say(json.dumps({**empty_summary(), **ended} if run else ended))
    say(f"batchrun: {error}", "stderr")
    sys.exit(error.exit_code)
