"""A process that has batchrun imported, and forks for every run: a start then costs a run, and not a second of imports.

It takes one order a line on stdin and answers with how the run ended, one at a time. It has one thread and no event
loop, so that a fork of it is as good as a new process; SIGKILL hits the fork alone.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.torture.disk_journal import DiskJournal
from tests.torture.hooks import Watch
from tests.torture.points import Death

REPOSITORY = Path(__file__).parents[2]
HANGS_AFTER_S = 60.0
# What every run imports at once or on its way.
WARM = ("batchrun.api", "batchrun.cli", "batchrun.screen.summary", "anyio._backends._asyncio", "pandas", "_strptime")


@dataclass(frozen=True, slots=True)
class Order:
    """A command line to run, and what is to happen to it."""

    arguments: list[str]
    output: str  # its output folder
    scratch: str  # a folder for what it says
    death: dict[str, Any] | None = None
    kill_after_s: float | None = None
    prepare: Sequence[str] = ()  # a function of `machines.py` that the run calls first, and its arguments
    watched: bool = False  # count the passes of points, without a death
    journal: str | None = None  # a folder for a journal of what is asked of the disk


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its exit code, or the number of the signal below 0."""

    code: int
    wall_s: float
    hung: bool
    died_at_point: bool
    out: str
    err: str
    passes: dict[str, int]

    @property
    def killed(self) -> bool:
        """Tell whether SIGKILL ended it, as wanted."""
        return self.code == -signal.SIGKILL and not self.hung

    @property
    def summary(self) -> dict[str, Any]:
        """Return what it printed with --json."""
        told: dict[str, Any] = json.loads(self.out)
        return told


class Zygote:
    """Starts runs out of one process; a context manager."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        scratch.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONPATH": str(REPOSITORY)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.zygote"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=HANGS_AFTER_S + 20)

    def run(
        self,
        output: Path,
        *arguments: str,
        death: Death | None = None,
        kill_after_s: float | None = None,
        prepare: Sequence[str] = (),
        watched: bool = False,
        journal: Path | None = None,
    ) -> Ended:
        """Run `batchrun` with `arguments` to its end, or to its death."""
        order = Order(
            list(arguments),
            str(output),
            str(self._scratch),
            asdict(death) if death is not None else None,
            kill_after_s,
            prepare,
            watched,
            str(journal) if journal is not None else None,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def main() -> None:
    """Serve orders until stdin ends."""
    for name in WARM:
        with suppress(ImportError):  # pandas is loaded by pyarrow where it is there
            import_module(name)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    gc.freeze()  # a fork's collector would copy every page that it looks at
    for line in sys.stdin:
        order = Order(**json.loads(line))
        began_s = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _become(order)
            return
        code, hung = _wait(pid, order.kill_after_s)
        wall_s = time.monotonic() - began_s
        print(json.dumps(asdict(_ended(order, code, wall_s, hung=hung))), flush=True)


def _become(order: Order) -> None:
    """Be the run: say what it says into files, and count its points."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    scratch = Path(order.scratch)
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(scratch / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir("/")
    record = os.open(scratch / "record", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    if order.prepare:
        from tests.torture import machines

        name, *arguments = order.prepare
        getattr(machines, name)(*arguments)
    if order.journal is not None:
        DiskJournal(Path(order.output).parent, Path(order.journal)).install()
    death = Death(**order.death) if order.death is not None else None
    watch = Watch(Path(order.output), death, record)
    if death is not None or order.watched:
        watch.install()
    sys.argv = ["batchrun", *order.arguments]
    from batchrun.cli import main as batchrun

    code: object = 0
    try:
        batchrun()
    except SystemExit as end:
        code = end.code
    os.pwrite(record, json.dumps({"passes": dict(watch.passes)}).encode(), 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)  # taking the interpreter down would cost as much as the run


def _wait(pid: int, kill_after_s: float | None) -> tuple[int, bool]:
    """Wait for a run, kill it after its time; return its exit code and whether it hung."""
    until_s = time.monotonic() + (HANGS_AFTER_S if kill_after_s is None else kill_after_s)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), False
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status), kill_after_s is None
        with suppress(InterruptedError):
            signal.sigtimedwait({signal.SIGCHLD}, left_s)


def _ended(order: Order, code: int, wall_s: float, *, hung: bool) -> Ended:
    scratch = Path(order.scratch)
    record = scratch / "record"
    told = json.loads(record.read_text() or "{}") if record.exists() else {}
    for name in ("out", "err"):
        (scratch / name).touch()  # killed before it could make them
    ended = Ended(
        code, wall_s, hung, "died" in told, (scratch / "out").read_text(), (scratch / "err").read_text(),
        told.get("passes", {}),
    )  # fmt: skip
    for name in ("out", "err", "record"):
        (scratch / name).unlink(missing_ok=True)
    return ended


if __name__ == "__main__":
    main()
