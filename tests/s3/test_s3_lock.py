"""The lock of an output in a bucket: one holder, taken over from the dead, and its loss is noticed."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.errors import LockedError
from batchrun.storage.s3 import Bucket, BucketLock, is_held
from batchrun.storage.s3.lock import LockTimes
from tests.s3.proxy import Fault, Proxy
from tests.services import ObjectStore

KEY = "out/lock"
QUICK = LockTimes(renew_s=0.2, stale_s=2.0, look_s=0.1, wait_s=30.0)  # a store tells times in whole seconds
NEVER_STALE = LockTimes(renew_s=0.2, stale_s=300.0, look_s=0.1, wait_s=30.0)
PATIENCE_S = 30.0  # for what takes a moment, so that a busy machine fails nothing
HOLDER = """
import sys
from batchrun.storage.s3 import Bucket, BucketLock, S3Options, Connection
from batchrun.storage.s3.lock import LockTimes
from batchrun.errors import LockedError
endpoint, bucket = sys.argv[1:]
with Connection(S3Options(endpoint)) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        with BucketLock(Bucket(store, bucket), "out/lock", LockTimes(renew_s=0.2, look_s=0.1)):
            print("held", flush=True)
            sys.stdin.readline()
    except LockedError as error:
        print("locked", error, flush=True)
"""


def left_behind(bucket: Bucket, **changes: object) -> None:
    """Write the lock of a run that is gone."""
    with BucketLock(bucket, KEY):
        held = json.loads(bucket.get(KEY).content)
    bucket.put(KEY, json.dumps({**held, **changes}).encode())


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_is_held_until_it_is_given_back(bucket: Bucket) -> None:
    assert not is_held(bucket, KEY)
    with BucketLock(bucket, KEY):
        assert is_held(bucket, KEY)
        held = json.loads(bucket.get(KEY).content)
    assert (held["pid"], held["host"]) == (os.getpid(), socket.gethostname())
    assert not is_held(bucket, KEY)
    with BucketLock(bucket, KEY):
        assert is_held(bucket, KEY)


def test_a_second_run_is_refused_with_who_holds_it_since_when(bucket: Bucket) -> None:
    with BucketLock(bucket, KEY, times=NEVER_STALE):
        since = json.loads(bucket.get(KEY).content)["since"]
        began_s = time.monotonic()
        with pytest.raises(LockedError) as caught, BucketLock(bucket, KEY, times=NEVER_STALE):
            pass
        waited_s = time.monotonic() - began_s

    assert str(caught.value) == (
        f"s3://{bucket.name}/out: another run holds this output: "
        f"process {os.getpid()} on {socket.gethostname()}, since {since}"
    )
    assert waited_s < NEVER_STALE.wait_s  # a renewal shows that the holder lives, and ends the wait


def test_a_dead_process_of_this_machine_is_followed_at_once(bucket: Bucket) -> None:
    left_behind(bucket, pid=dead_pid())
    assert not is_held(bucket, KEY)

    with BucketLock(bucket, KEY):  # with the real times: 45 s else
        assert json.loads(bucket.get(KEY).content)["pid"] == os.getpid()


def test_the_same_number_on_another_machine_or_in_another_container_is_not_taken_for_dead(bucket: Bucket) -> None:
    left_behind(bucket, pid=dead_pid(), place="elsewhere")

    assert is_held(bucket, KEY)
    with pytest.raises(LockedError), BucketLock(bucket, KEY, times=LockTimes(look_s=0.1, wait_s=0.3)):
        pass


@pytest.mark.parametrize("content", [None, b"no JSON", b"[1]"])
def test_a_lock_that_nobody_renews_is_taken_over_by_the_stores_clock(bucket: Bucket, content: bytes | None) -> None:
    left_behind(bucket, place="elsewhere")
    if content is not None:
        bucket.put(KEY, content)
    left_at = bucket.get(KEY).info.modified_at

    with BucketLock(bucket, KEY, times=replace(QUICK, renew_s=300)):  # so that it is as it was written on taking over
        taken = bucket.get(KEY)
    assert (taken.info.modified_at - left_at).total_seconds() >= QUICK.stale_s
    assert json.loads(taken.content)["place"] != "elsewhere"


def test_of_starts_at_once_one_wins(bucket: Bucket) -> None:
    together = threading.Barrier(6)
    end = threading.Event()

    def start(_: int) -> str:
        lock = BucketLock(bucket, KEY, times=QUICK)
        together.wait()
        try:
            with lock:
                end.wait(PATIENCE_S)
                return "held"
        except LockedError:
            return "locked"

    left_behind(bucket, pid=dead_pid())
    with ThreadPoolExecutor(6) as pool:
        made = [pool.submit(start, at) for at in range(6)]
        deadline_s = time.monotonic() + PATIENCE_S
        while sum(one.done() for one in made) < 5 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        end.set()
        ends = [one.result() for one in made]

    assert sorted(ends) == ["held"] + ["locked"] * 5


def test_of_two_processes_one_wins_and_when_it_is_killed_it_is_followed_at_once(
    bucket: Bucket, object_store: ObjectStore
) -> None:
    environment = {**os.environ, **object_store.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", HOLDER, object_store.endpoint, object_store.bucket]
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd="/")
        for _ in range(2)
    ]
    told: dict[int, str] = {}
    try:
        for one in runs:
            assert one.stdout.readline() == "ready\n"
        for one in runs:
            one.stdin.write("\n")
            one.stdin.flush()
        readers = [
            threading.Thread(target=lambda one=one: told.setdefault(one.pid, one.stdout.readline())) for one in runs
        ]
        for one in readers:
            one.start()
        for one in readers:
            one.join(PATIENCE_S)

        assert sorted(text.split()[0] for text in told.values()) == ["held", "locked"]
    finally:
        for one in runs:
            one.kill()
            one.wait(20)
            one.stdin.close()
    for one in runs:
        one.stdout.close()
    with BucketLock(bucket, KEY):  # with the real times
        assert json.loads(bucket.get(KEY).content)["pid"] == os.getpid()


def test_a_holder_that_slept_learns_that_it_was_followed(bucket: Bucket) -> None:
    with BucketLock(bucket, KEY, QUICK) as lock:
        other = json.dumps({"pid": 7, "host": "other", "since": "2026-11-20T08:00:00+00:00"}).encode()
        bucket.put(KEY, other)

        deadline_s = time.monotonic() + PATIENCE_S
        while lock.held and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert not lock.held
        with pytest.raises(LockedError, match="this run lost its lock"):
            lock.renew()
    assert lock.lost == (
        f"s3://{bucket.name}/out/lock: this run lost its lock, which it had not renewed for 2 s, "
        "to process 7 on other, since 2026-11-20T08:00:00+00:00"
    )
    assert bucket.get(KEY).content == other  # given back is only what is one's own


def test_a_renewal_whose_answer_is_lost_is_no_loss(faulty: Bucket, proxy: Proxy) -> None:
    with BucketLock(faulty, KEY, QUICK) as lock:
        proxy.faults += [Fault("lost", "PUT"), Fault("slow", "PUT")]
        deadline_s = time.monotonic() + PATIENCE_S
        while proxy.faults and time.monotonic() < deadline_s:
            time.sleep(0.02)
        renewed = faulty.get(KEY).info.etag
        while faulty.get(KEY).info.etag == renewed and time.monotonic() < deadline_s:
            time.sleep(0.02)

        assert lock.held
        assert lock.lost is None
    assert not is_held(faulty, KEY)
