"""Deliveries in processes of their own: one that is killed, and one whose memory is measured."""

import multiprocessing
import resource
import signal
import sys
import time
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from batchrun.sinks.conformance.parts import RUN, Parts
from batchrun.sinks.conformance.place import Place, deliver, versions

# Forked from a process that has imported all this once, and has no threads that a fork would lose.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__, "batchrun.sinks.jsonl", "batchrun.sinks.delta", "batchrun.sinks.postgres"])


def kill_a_delivery(place: Place, parts: Parts, chance: Random) -> None:
    """Deliver in a process of its own, and kill that at a moment that `chance` chooses."""
    # The sink's libraries are loaded once the first part has gone through, so time is counted in parts.
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = _processes.Process(target=_deliver_and_tell, args=(place, parts, theirs))
    process.start()
    theirs.close()
    try:
        for _ in range(1 + chance.randrange(len(parts.all()))):
            ours.recv()
        time.sleep(chance.uniform(0, 0.02))
    except EOFError:
        pass  # it was faster than chance
    finally:
        if process.pid is not None:
            process.kill()
        process.join()
    assert process.exitcode in {0, -signal.SIGKILL}, f"the delivery failed by itself: exit code {process.exitcode}"


def _deliver_and_tell(place: Place, parts: Parts, told: Connection) -> None:
    with closing(place.sink()) as sink:
        sink.versions(RUN, [])
        for part in parts.all():
            told.send(part.number)
            sink.deliver(part)


def memory_for_a_large_part(place: Place, base: Path, rows: int) -> tuple[int, list[int]]:
    """Deliver a part of `rows` rows; return by how much that raised the peak of memory [bytes], and what is held."""
    with _processes.Pool(1) as pool:
        return pool.apply(_deliver_large, (place, base, rows))


def _deliver_large(place: Place, base: Path, rows: int) -> tuple[int, list[int]]:
    parts = Parts.made(base, 1)
    deliver(place, parts.all())  # libraries are loaded, buffers are there
    parts.write_large(rows)
    before_bytes = _peak_bytes()
    large = parts.all()
    deliver(place, large)
    return _peak_bytes() - before_bytes, list(versions(place, large))


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
