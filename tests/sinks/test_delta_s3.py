"""The delta sink on S3: the same promises, kept in a bucket."""

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from batchrun.api import run, verify
from batchrun.jobspec.sinks import Delta
from batchrun.sinks.conformance import Parts, SinkConformance
from batchrun.sinks.conformance.parts import RUN
from batchrun.sinks.conformance.place import deliver, texts, versions
from batchrun.sinks.delivery import Delivery
from batchrun.sinks.delta import DeltaSink
from batchrun.sinks.part import FinishedParts
from batchrun.storage.folder import Folder
from tests.run.rehearsal import job, numbered
from tests.services import KEY, SECRET, ObjectStore


@dataclass(frozen=True)
class BucketPlace:
    """A Delta Lake table in a bucket, and the keys that a process of the suite's finds in its environment."""

    url: str
    endpoint: str
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "region": "us-east-1"}

    def sink(self) -> DeltaSink:
        os.environ.update(self.environment)  # the server that forks them was started by whichever test came first
        return DeltaSink(Delta(type="delta", path=self.url, storage_options=self.options))

    def rows(self) -> list[dict[str, Any]]:
        try:
            table = DeltaTable(
                self.url,
                storage_options={
                    **self.options,
                    "allow_http": "true",
                    "access_key_id": KEY,
                    "secret_access_key": SECRET,
                },
            )
        except TableNotFoundError:
            return []
        rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
        return rows


@pytest.fixture
def place(object_store: ObjectStore) -> BucketPlace:
    keys = tuple(object_store.environment.items())
    return BucketPlace(object_store.url(f"tables/{uuid4().hex}"), object_store.endpoint, keys)


class TestConformance(SinkConformance):
    """Takes the fixture of the module."""


def test_keys_of_the_shared_files_will_do(place: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (keys := tmp_path / "credentials").write_text(
        f"[lake]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    deliver(replace(place, environment=()), Parts.made(tmp_path, 1).all())

    assert texts(place) == {row: f"one {row}" for row in range(10)}


def test_two_sessions_that_began_alike_lose_no_part(place: BucketPlace, tmp_path: Path) -> None:
    """Each commit is put on the condition that nobody made one of its number meanwhile."""
    parts = Parts.made(tmp_path, 3).all()
    deliver(place, parts[:1])
    with closing(place.sink()) as one, closing(place.sink()) as other:
        for session in (one, other):
            session.versions(RUN, [])
        one.deliver(parts[1])
        other.deliver(parts[2])

    assert sorted(versions(place, parts)) == [0, 1, 2]
    assert len(texts(place)) == 30


def test_a_bucket_that_is_not_there_is_said_without_the_colours_of_a_terminal(
    place: BucketPlace, tmp_path: Path
) -> None:
    table = Delta(type="delta", path="s3://no-such-bucket/table", storage_options=place.options)
    lag = Delivery(table, FinishedParts(Folder(tmp_path / "out"), RUN)).ask()

    assert lag.error is not None
    assert "404 Not Found" in lag.error
    assert "NoSuchBucket" in lag.error
    assert "\x1b" not in lag.error


def test_a_run_delivers_to_a_bucket(place: BucketPlace, tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(6), output={"rows_per_part": 2}, aws={"endpoint_url": "emulator"})
    table = Delta(type="delta", path=place.url, storage_options=place.options)
    spec = spec.model_copy(update={"sink": (table,)})
    summary = run(spec)

    assert (summary["exit_code"], summary["sinks"][0]["delivered"]) == (0, 3)
    assert sorted(row["row"] for row in place.rows()) == list(range(6))
    assert verify(spec) == []
