"""What every sink must do, as pytest runs it."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from batchrun.errors import SinkError
from batchrun.sinks.conformance.parts import ROWS_PER_PART, RUN, Parts, every_type
from batchrun.sinks.conformance.place import Place, deliver, deliver_outstanding, texts, versions
from batchrun.sinks.conformance.processes import kill_a_delivery, memory_for_a_large_part

SEEDS = range(5)
PARTS_TO_KILL_IN = 5
LARGE_ROWS = 100_000
MOST_GROWTH_BYTES = 140_000_000  # of memory, for a part of so many rows and 160 MB; delta takes up to 110 of it


class SinkConformance:
    """What every sink must do."""

    def test_what_was_delivered_can_be_read(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 3)
        deliver(place, parts.all())

        assert texts(place) == {row: f"one {row}" for row in range(30)}

    def test_a_new_session_tells_what_is_held(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 2).all()
        before = versions(place, parts)
        deliver(place, parts[:1])

        assert before == {}
        assert versions(place, parts) == {0: parts[0].version}

    def test_asking_what_is_held_makes_nothing(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 1).all()
        versions(place, parts)

        assert place.rows() == []

    def test_parts_may_come_in_any_order(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 3).all()
        deliver(place, [parts[2], parts[0]])
        deliver(place, [parts[1]])

        assert sorted(texts(place)) == list(range(30))
        assert versions(place, parts) == {part.number: part.version for part in parts}

    def test_a_part_delivered_twice_is_there_once(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 2).all()
        deliver(place, [*parts, parts[1]])
        deliver(place, parts)

        assert len(place.rows()) == 20
        assert sorted(texts(place)) == list(range(20))

    def test_a_part_that_was_replaced_replaces_its_rows(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 3)
        old = parts.all()
        deliver(place, old)
        parts.write(1, "two")
        new = parts.all()
        held = versions(place, new)
        deliver(place, [new[1]])

        assert held == {part.number: part.version for part in old}
        assert versions(place, new) == {part.number: part.version for part in new}
        assert len(place.rows()) == 30
        assert texts(place) == {row: f"{'two' if 10 <= row < 20 else 'one'} {row}" for row in range(30)}

    def test_a_part_is_replaced_within_one_session_too(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 1)
        with closing(place.sink()) as sink:
            sink.versions(RUN, [0])
            sink.deliver(parts.all()[0])
            parts.write(0, "two")
            sink.deliver(parts.all()[0])

        assert texts(place) == {row: f"two {row}" for row in range(10)}

    def test_an_empty_part_is_held_and_has_no_rows(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 0)
        parts.write(0, rows=0)
        empty = parts.all()
        deliver(place, empty)
        deliver(place, empty)

        assert versions(place, empty) == {0: empty[0].version}
        assert place.rows() == []

    def test_the_results_of_another_run_are_left_alone(self, place: Place, tmp_path: Path) -> None:
        deliver(place, Parts.made(tmp_path, 2).all())
        other = Parts(tmp_path / "data", "f" * 32)

        refused = False
        with closing(place.sink()) as sink:
            try:
                sink.versions(other.run_id, [0, 1])
            except SinkError as error:
                refused = RUN in str(error)
        assert refused, "versions() of another run must raise SinkError and name the run that is there"
        assert len(place.rows()) == 20

    def test_a_session_can_be_closed_at_any_time(self, place: Place, tmp_path: Path) -> None:
        part = Parts.made(tmp_path, 1).all()[0]
        place.sink().close()
        sink = place.sink()
        sink.versions(RUN, [0])
        sink.close()
        deliver(place, [part])

        assert len(place.rows()) == 10

    def test_a_part_that_does_not_read_back_leaves_nothing(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 2)
        stale = parts.all()
        parts.write(1, "two")
        with closing(place.sink()) as sink:
            sink.versions(RUN, [0, 1])
            sink.deliver(stale[0])
            failed = False
            try:
                sink.deliver(stale[1])
            except Exception:  # noqa: BLE001 - libraries wrap what the reader of a part raises
                failed = True
        assert failed, "the part was replaced under the sink, which must not have taken it"
        assert sorted(texts(place)) == list(range(10))
        assert versions(place, stale) == {0: stale[0].version}

    def test_text_of_all_kinds_arrives(self, place: Place, tmp_path: Path) -> None:
        texts = ["", " ", "null", "\\N", "\\.", "a\tb\nc\r\n", 'quote " and \\ back', "naïve 漢字 🎈", "\u2028", "{}"]
        parts = Parts.made(tmp_path, 0)
        parts.write(0, kept=pa.table({"said": texts}))
        deliver(place, parts.all())

        assert {row["row"]: row["said"] for row in place.rows()} == dict(enumerate(texts))

    def test_text_that_is_no_text_does_not_stop_the_rest(self, place: Place, tmp_path: Path) -> None:
        """NUL and bytes that are no UTF-8; what becomes of them is the sink's to say."""
        parts = Parts.made(tmp_path, 0)
        cells = [b"a\x00b", b"\xff\xfe", b"\xed\xa0\x80", *[b"plain"] * 7]
        parts.write(0, kept=pa.table({"said": pa.array(cells).view(pa.string())}))
        deliver(place, parts.all())

        assert [row["said"] for row in sorted(place.rows(), key=lambda row: row["row"])][3:] == ["plain"] * 7

    def test_columns_of_all_types_arrive(self, place: Place, tmp_path: Path) -> None:
        parts = Parts.made(tmp_path, 0)
        parts.write(0, kept=every_type(ROWS_PER_PART))
        parts.write(1, kept=every_type(ROWS_PER_PART))
        deliver(place, parts.all())
        rows = sorted(place.rows(), key=lambda row: int(row["row"]))

        assert [row["row"] for row in rows] == list(range(20))
        assert [row["a big number"] for row in rows] == 2 * [2**62 + n if n % 2 == 0 else None for n in range(10)]
        for name in every_type(1).column_names:
            assert [row[name] is None for row in rows] == [n % 2 == 1 for n in range(20)], name

    def test_moments_beyond_any_calendar_do_not_stop_the_rest(self, place: Place, tmp_path: Path) -> None:
        far = [2**62, -(2**62), 253_402_300_800_001, -62_135_596_800_001, *[0] * 6]  # the years 10,000 and 0, too
        parts = Parts.made(tmp_path, 0)
        parts.write(
            0,
            kept=pa.table(
                {"at": pa.array(far, pa.timestamp("ms")), "on": pa.array([2**31 - 1, -(2**31), *[0] * 8], pa.date32())}
            ),
        )
        deliver(place, parts.all())

        assert versions(place, parts.all()) == {0: parts.all()[0].version}

    def test_a_kill_at_any_moment_loses_and_doubles_nothing(self, place: Place, tmp_path: Path) -> None:
        rows = PARTS_TO_KILL_IN * ROWS_PER_PART
        for seed in SEEDS:
            parts = Parts.made(tmp_path, PARTS_TO_KILL_IN, f"version {seed}")
            kill_a_delivery(place, parts, Random(seed))

            found = place.rows()
            of_part = [
                sum(row["row"] // ROWS_PER_PART == number for row in found) for number in range(PARTS_TO_KILL_IN)
            ]
            assert set(of_part) <= {0, ROWS_PER_PART}, f"seed {seed}: rows by part {of_part}: a part is there in pieces"
            mixed = {number for number in range(PARTS_TO_KILL_IN) if len(_beginnings(found, number)) > 1}
            assert not mixed, f"seed {seed}: parts {mixed} are of two versions at once"
            deliver_outstanding(place, parts.all())
            assert len(place.rows()) == rows, f"seed {seed}"
            assert texts(place) == {row: f"version {seed} {row}" for row in range(rows)}, f"seed {seed}"

    def test_a_large_part_takes_little_memory(self, place: Place, tmp_path: Path) -> None:
        grown_bytes, held = memory_for_a_large_part(place, tmp_path, LARGE_ROWS)

        assert held == [0]
        assert grown_bytes < MOST_GROWTH_BYTES


def _beginnings(rows: Iterable[dict[str, Any]], number: int) -> set[str]:
    """Return with what the answers of a part begin."""
    return {row["text"].rpartition(" ")[0] for row in rows if row["row"] // ROWS_PER_PART == number}
