"""A second signal waits for no store: a run ends while what it asked of the store still hangs, and the next goes on."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.api import run, verify
from batchrun.engines.local import ONE_SIGNAL_S
from batchrun.errors import HurriedError
from batchrun.jobspec import JobSpec
from batchrun.storage.s3 import Bucket, Connection, S3Options
from tests.s3.proxy import Fault, Proxy
from tests.services import ObjectStore

ROWS = 20
Job = Callable[[str], JobSpec]


@pytest.fixture
def job(tmp_path: Path, object_store: ObjectStore) -> Job:
    """Return a function that gives a job with its output in the bucket, seen through an endpoint."""
    texts = [f"Name {row}. [[output_tokens=2]]" for row in range(ROWS)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")

    def made(endpoint: str) -> JobSpec:
        output = {
            "path": object_store.url("out/hurried"),
            "rows_per_part": 5,
            "storage_options": {"endpoint": endpoint},
        }
        tables: dict[str, Any] = {
            "name": "hurried",
            "input": {"path": "rows.parquet"},
            "prompt": {"user": "{{ text }}"},
            "generation": {"max_tokens": 64},
            "routing": {"scopes": ["us"], "source_regions": ["us-east-1"]},
            "quota": {"tokens_per_minute": 10_000_000},
            "output": output,
            "aws": {"endpoint_url": "emulator"},
            "emulator": {"tpm": 10_000_000, "latency_s": 0, "latency_per_token_s": 0},
        }
        return JobSpec.from_mapping(tables, base=tmp_path)

    return made


@contextmanager
def two_signals_when_it_hangs(proxy: Proxy) -> Iterator[None]:
    """Signal this process twice once a request hangs."""

    def wait_and_send() -> None:
        if proxy.hanging.wait(20):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(3 * ONE_SIGNAL_S)  # at once they would be one
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=wait_and_send)
    sender.start()
    try:
        yield
    finally:
        sender.join()


@pytest.mark.parametrize("words", ["/data/part", "/wal/"])
def test_a_second_signal_waits_for_no_put_that_hangs(words: str, job: Job, object_store: ObjectStore, proxy: Proxy):
    proxy.faults.append(Fault("hung", "PUT", words))
    spec = job(proxy.endpoint)
    with two_signals_when_it_hangs(proxy):
        stopped = run(spec.model_copy(update={"output": spec.output.model_copy(update={"flush_s": 0.05})}))

    assert proxy.hanging.is_set()
    assert proxy.waited_out == 0
    assert stopped["exit_code"] == 3
    assert "stopped at once" in stopped["reason"]
    again = run(job(object_store.endpoint))
    assert (again["exit_code"], again["rows"]) == (0, ROWS)
    assert verify(job(object_store.endpoint)) == []


def test_a_second_signal_waits_for_no_store_that_is_away(job: Job, object_store: ObjectStore, proxy: Proxy):
    proxy.faults.append(Fault("away", "PUT", "/data/part"))
    with two_signals_when_it_hangs(proxy):
        stopped = run(job(proxy.endpoint))

    assert proxy.hanging.is_set()
    assert proxy.waited_out == 0
    assert stopped["exit_code"] == 3
    # The lock could not be given back, and this process, which it names, has not ended.
    object_store.client().delete_object(Bucket=object_store.bucket, Key="out/hurried/lock")
    again = run(job(object_store.endpoint))
    assert (again["exit_code"], again["rows"]) == (0, ROWS)


def test_an_upload_in_parts_that_is_given_up_ends_although_its_parts_cannot_be_removed(
    object_store: ObjectStore, proxy: Proxy, tmp_path: Path
):
    (large := tmp_path / "large").write_bytes(bytes(20 << 20))
    proxy.faults.append(Fault("away", "PUT", "partNumber"))
    with Connection(S3Options(proxy.endpoint)) as store:

        def hurry() -> None:
            assert proxy.hanging.wait(20)
            store.hurry()

        with ThreadPoolExecutor(1) as pool:
            hurried = pool.submit(hurry)
            with pytest.raises(HurriedError, match=r"large: http://127\.0\.0\.1:\d+ was not waited for, since the run"):
                Bucket(store, object_store.bucket).put("large", large)
            assert proxy.waited_out == 0
            hurried.result()
