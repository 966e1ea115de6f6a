"""A spool gives back what was put in, in order, and begins anew when it is opened."""

from pathlib import Path

import pyarrow as pa

from batchrun.storage.spool import Spool

SCHEMA = pa.schema([("id", pa.string()), ("at", pa.timestamp("s"))])


def batch(*ids: str) -> pa.RecordBatch:
    return pa.record_batch([pa.array(ids), pa.array(range(len(ids)), pa.timestamp("s"))], schema=SCHEMA)


def test_batches_come_back_in_order_as_often_as_asked(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.kept.arrow", SCHEMA)
    spool.append(batch("a", "b"))
    spool.append(batch("c"))
    spool.finish()

    assert spool.rows == 3
    for _ in range(2):
        assert pa.Table.from_batches(spool.batches()).column("id").to_pylist() == ["a", "b", "c"]


def test_a_slice_is_spooled_without_the_rest_of_its_batch(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.kept.arrow", SCHEMA)
    spool.append(batch(*(["x" * 1000] * 1000)).slice(3, 2))
    spool.finish()

    assert [one.num_rows for one in spool.batches()] == [2]
    assert (tmp_path / "a.kept.arrow").stat().st_size < 10_000


def test_what_a_killed_run_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.kept.arrow").write_bytes(b"left over" * 1000)
    spool = Spool(tmp_path / "a.kept.arrow", SCHEMA)
    spool.append(batch("a"))
    spool.finish()

    assert pa.Table.from_batches(spool.batches()).column("id").to_pylist() == ["a"]


def test_a_removed_spool_is_gone_and_removing_it_again_does_no_harm(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.kept.arrow", SCHEMA)
    spool.finish()
    spool.remove()
    spool.remove()

    assert list(tmp_path.iterdir()) == []
