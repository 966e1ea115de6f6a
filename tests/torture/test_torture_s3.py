"""The same on an object store: runs that are killed before and after what they do to the bucket."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.services import KEY, SECRET, ObjectStore
from tests.torture.bench import Bench
from tests.torture.books import Books
from tests.torture.jobs import IN_FLIGHT
from tests.torture.points import AFTER, BEFORE, Death
from tests.torture.zygote import Ended, Zygote

KEYS = ("has_keys", KEY, SECRET)
SPOTS = [
    (point, when)
    for point in (
        "lock upload",
        "manifest upload",
        "part upload",
        "_SUCCESS upload",
        "summary upload",
        "status upload",
        "wal upload",
        "wal delete",
    )
    for when in (BEFORE, AFTER)
]
SLICE = {("part upload", AFTER)}


@dataclass(frozen=True, slots=True)
class OnStore:
    """A bench whose output is in a bucket."""

    bench: Bench
    zygote: Zygote

    def run(self, command: str = "run", death: Death | None = None, **options: Any) -> Ended:
        return self.zygote.run(
            self.bench.output, command, str(self.bench.job), "--json", *(("--quiet",) if command == "run" else ()),
            "--set", "output.flush_s=0.05", death=death, prepare=KEYS, **options,
        )  # fmt: skip


@pytest.fixture
def on_store(zygote: Zygote, books: Books, base: Path, object_store: ObjectStore) -> OnStore:
    bench = Bench(zygote, books, base)
    path = f'path = "{object_store.url(base.name)}"\nstorage_options = {{ endpoint = "{object_store.endpoint}" }}'
    bench.job.write_text(bench.job.read_text().replace('path = "out"', path))
    return OnStore(bench, zygote)


@pytest.mark.parametrize(
    ("point", "when"),
    [pytest.param(*spot, marks=() if spot in SLICE else pytest.mark.torture) for spot in SPOTS],
)
def test_a_run_killed_at_its_bucket_goes_on_and_pays_twice_for_no_more_than_was_in_flight(
    point: str, when: str, on_store: OnStore
) -> None:
    killed = on_store.run(death=Death(point, when, 2 if point == "part upload" else 1))
    assert killed.died_at_point, killed
    kills = 1
    for moment_s in (0.3, 0.6):
        kills += on_store.run(kill_after_s=moment_s).killed
    ended = on_store.run()

    assert ended.code == 0, ended
    assert ended.summary["rows"] == on_store.bench.kind.rows
    assert on_store.run("verify").code == 0
    assert on_store.bench.paid.repeated <= kills * IN_FLIGHT


@pytest.mark.torture
def test_an_evicted_container_goes_on_from_the_copies_in_the_bucket(on_store: OnStore) -> None:
    killed = on_store.run(death=Death("part upload", AFTER, 3))
    assert killed.died_at_point, killed
    shutil.rmtree(on_store.bench.base / ".batchrun")
    ended = on_store.run()

    assert ended.code == 0, ended
    assert ended.summary["resumed"] >= 2 * on_store.bench.kind.rows_per_part
    assert on_store.run("verify").code == 0
