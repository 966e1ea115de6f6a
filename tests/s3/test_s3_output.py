"""Runs whose output lies in a bucket: found again from anywhere, never overwritten by a late comer."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.api import RunOptions, run, verify
from batchrun.errors import InputError, LockedError, StorageError
from batchrun.jobspec import JobSpec
from batchrun.records import Status
from batchrun.storage.opening import open_store
from batchrun.storage.output import Output
from batchrun.storage.ranges import Range
from batchrun.storage.s3 import Bucket
from tests.services import ObjectStore

FAILS = "[[fault=InternalServerException]]"
Job = Callable[..., JobSpec]


@pytest.fixture
def job(tmp_path: Path, object_store: ObjectStore) -> Job:
    """Return a function that gives a job of 20 rows in parts of 5 with its output in the bucket."""

    def made(texts: list[str] | None = None, base: Path = tmp_path, **changes: dict[str, Any]) -> JobSpec:
        rows = texts or [f"Name {row}. [[output_tokens=2]]" for row in range(20)]
        base.mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": rows, "n": list(range(len(rows)))}), base / "rows.parquet")
        tables: dict[str, Any] = {
            "name": "in-a-bucket",
            "input": {"path": "rows.parquet", "keep": ["n"]},
            "prompt": {"user": "{{ text }}"},
            "generation": {"max_tokens": 64},
            "routing": {"scopes": ["us"], "source_regions": ["us-east-1"]},
            "quota": {"tokens_per_minute": 10_000_000},
            "limits": {"max_failed": 1.0},
            "retry": {"max_attempts": 1},
            "output": {
                "path": object_store.url("out/reviews"),
                "rows_per_part": 5,
                "storage_options": {"endpoint": object_store.endpoint},
            },
            "aws": {"endpoint_url": "emulator"},
            "emulator": {"tpm": 10_000_000, "latency_s": 0, "latency_per_token_s": 0},
        }
        for name, change in changes.items():
            tables[name] = {**tables.get(name, {}), **change}
        return JobSpec.from_mapping(tables, base=base)

    return made


def names(store: ObjectStore) -> list[str]:
    found = store.client().list_objects_v2(Bucket=store.bucket, Prefix="out/").get("Contents", [])
    return [one["Key"].removeprefix("out/reviews/") for one in found]


def rows(store: ObjectStore) -> list[int]:
    """Return the kept column of all parts, read as a user would."""
    client = store.client()
    found: list[int] = []
    for name in names(store):
        if name.startswith("data/"):
            body = client.get_object(Bucket=store.bucket, Key=f"out/reviews/{name}")["Body"].read()
            found += pq.read_table(pa.BufferReader(body))["n"].to_pylist()
    return found


def test_a_run_leaves_its_output_in_the_bucket_and_nothing_of_its_logs(job: Job, object_store: ObjectStore) -> None:
    summary = run(job())

    assert (summary["exit_code"], summary["rows"]) == (0, 20)
    assert names(object_store) == [
        "_SUCCESS", *(f"data/part-{number:06d}.parquet" for number in range(4)),
        "lock", "manifest.json", "status.json", "summary.json",
    ]  # fmt: skip
    assert rows(object_store) == list(range(20))
    assert verify(job()) == []


def test_a_finished_run_goes_on_from_another_machine_with_nothing_to_do(
    job: Job, object_store: ObjectStore, tmp_path: Path
) -> None:
    run(job())
    summary = run(job(base=tmp_path / "elsewhere"))

    assert (summary["exit_code"], summary["rows"], summary["resumed"]) == (0, 20, 20)


def test_a_stopped_run_goes_on_from_its_copied_logs_when_the_machine_is_gone(
    job: Job, object_store: ObjectStore, tmp_path: Path
) -> None:
    texts = [f"Name {row}. [[output_tokens=2]]" for row in range(12)]
    slow = [*texts[:9], *(f"{text} [[latency_s=30]]" for text in texts[9:])]
    first = run(job(slow, limits={"deadline": 2, "drain": 0, "max_in_flight": 20}))
    assert (first["exit_code"], first["rows"]) == (3, 9)
    assert [name for name in names(object_store) if name.startswith("wal/")]
    shutil.rmtree(tmp_path / ".batchrun")
    (tmp_path / "rows.parquet").touch()

    second = run(job(slow, limits={"deadline": 2, "drain": 0, "max_in_flight": 20}))

    assert (second["rows"], second["resumed"]) == (9, 9)


def test_failed_rows_are_sent_again_and_their_part_replaced(job: Job, object_store: ObjectStore) -> None:
    texts = [*[f"Name {row}. [[output_tokens=2]]" for row in range(9)], f"{FAILS} Name a fish."]
    assert run(job(texts))["by_status"] == {"ok": 9, "failed": 1}
    summary = run(job(texts), RunOptions(again=[Status.FAILED]))

    assert (summary["exit_code"], summary["by_status"]) == (0, {"ok": 9, "failed": 1})
    assert rows(object_store) == list(range(10))
    assert verify(job(texts)) == []


def test_fresh_moves_the_old_output_beside_and_deletes_nothing(job: Job, object_store: ObjectStore) -> None:
    run(job())
    before = names(object_store)
    run(job(generation={"max_tokens": 65}), RunOptions(fresh=True))

    aside = [name for name in names(object_store) if name.startswith("out/reviews.old-")]
    assert {name.partition("/")[2].partition("/")[2] for name in aside} == {*before} - {"lock"}
    assert len([name for name in names(object_store) if name.startswith("data/")]) == 4


def test_another_job_is_refused_by_what_differs(job: Job) -> None:
    run(job())

    with pytest.raises(InputError, match=r"generation\.max_tokens: was 64, is 65"):
        run(job(generation={"max_tokens": 65}))


def test_a_prefix_that_holds_something_else_is_refused(job: Job, object_store: ObjectStore) -> None:
    object_store.client().put_object(Bucket=object_store.bucket, Key="out/reviews/thesis.tex", Body=b"x")

    with pytest.raises(InputError, match=r"s3://tests/out/reviews: holds objects .*thesis\.tex.*choose an empty"):
        run(job())


def test_a_bucket_that_is_not_there_is_an_error_of_storage(job: Job, object_store: ObjectStore) -> None:
    with pytest.raises(StorageError, match="there is no such bucket"):
        run(job(output={"path": "s3://no-such-bucket/out"}))


def test_a_late_part_loses_and_says_so(job: Job, object_store: ObjectStore) -> None:
    """A laptop that wakes up finds a part of the run that followed it in the place of its own."""
    spec = job()
    first = Output.write_part

    def late(output: Output, of: Range) -> None:
        if of.number == 2:
            key = f"out/reviews/{of.part}"
            object_store.client().put_object(Bucket=object_store.bucket, Key=key, Body=b"another run's")
        first(output, of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "write_part", late)
        summary = run(spec)

    assert summary["exit_code"] == 5
    assert "another run holds this output by now" in summary["reason"]
    body = object_store.client().get_object(Bucket=object_store.bucket, Key="out/reviews/data/part-000002.parquet")
    assert body["Body"].read() == b"another run's"
    assert "_SUCCESS" not in names(object_store)


def test_a_second_run_is_turned_away_while_the_first_holds_the_lock(job: Job) -> None:
    with open_store(job()) as store, store.hold(), pytest.raises(LockedError, match="another run holds this output"):
        run(job())


def test_a_run_whose_lock_was_taken_over_stops_and_writes_nothing_more(job: Job, object_store: ObjectStore) -> None:
    texts = [f"Name {row}. [[latency_s=0.2]]" for row in range(400)]
    spec = job(texts, limits={"max_in_flight": 4, "drain": 1})
    publish = Bucket.replace

    def stolen(bucket: Bucket, key: str, content: bytes | Path, etag: str) -> str:
        if key.endswith("/lock") and content:
            bucket.put(key, b'{"pid": 1, "host": "other", "since": "now"}')
        return publish(bucket, key, content, etag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bucket, "replace", stolen)
        summary = run(spec)

    assert summary["exit_code"] == 5
    assert "this run lost its lock" in summary["reason"]
    assert not {"_SUCCESS", "summary.json"} & {*names(object_store)}


def test_who_has_lost_the_lock_publishes_nothing_although_nobody_else_did_yet(
    job: Job, object_store: ObjectStore, tmp_path: Path
) -> None:
    with open_store(job()) as store, store.hold():
        store.adopt("run")
        store.clear_tmp()
        key = "out/reviews/lock"
        object_store.client().put_object(Bucket=object_store.bucket, Key=key, Body=b'{"pid": 1, "host": "other"}')
        part = store.tmp / "part-000000.parquet"
        part.write_bytes(b"late")

        with pytest.raises(LockedError, match="this run lost its lock"):
            store.publish(part, "data/part-000000.parquet")
        with pytest.raises(LockedError, match="this run lost its lock"):
            store.remove_log("000000.log")
        store.write("status.json", b"{}")

    assert names(object_store) == ["lock"]


def test_equal_requests_are_sent_once_also_from_another_machine(
    job: Job, object_store: ObjectStore, tmp_path: Path
) -> None:
    # What was answered is known from the parts in the bucket; the file of known answers is the first machine's own.
    texts = [f"Name {row % 4}. [[output_tokens=2]]" for row in range(20)]
    once = {"dedupe": "force"}
    run(job(texts, limits={"rows": 8}).model_copy(update=once))
    summary = run(job(texts, base=tmp_path / "elsewhere").model_copy(update=once))

    assert (summary["exit_code"], summary["rows"]) == (0, 20)
    assert (summary["dedupe"]["rows"], summary["lanes"]) == (12, [])
    assert not any("sqlite" in name for name in names(object_store))
