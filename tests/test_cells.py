"""Cells that Python cannot represent cost their own row, not the run."""

from datetime import date

import pyarrow as pa

from batchrun.cells import rows_of


def test_rows_come_as_cells_by_column() -> None:
    batch = pa.RecordBatch.from_pydict({"id": [1, 2], "text": ["a", None]})

    assert list(rows_of(batch)) == [{"id": 1, "text": "a"}, {"id": 2, "text": None}]


def test_text_that_is_not_utf_8_names_its_column_and_spares_the_other_rows() -> None:
    text = pa.array([b"good", b"b\xffd", b"fine"], pa.binary()).cast(pa.binary()).view(pa.binary())
    broken = pa.StringArray.from_buffers(3, text.buffers()[1], text.buffers()[2])
    good, bad, fine = rows_of(pa.RecordBatch.from_arrays([broken], ["text"]))

    assert (good, fine) == ({"text": "good"}, {"text": "fine"})
    assert isinstance(bad, str)
    assert "column 'text' cannot be read: UnicodeDecodeError" in bad


def test_a_day_after_the_year_9999_spares_the_other_rows() -> None:
    days = pa.array([0, 4_000_000], pa.int32()).cast(pa.date32())
    good, bad = rows_of(pa.RecordBatch.from_arrays([days], ["day"]))

    assert good == {"day": date(1970, 1, 1)}
    assert isinstance(bad, str)
    assert "column 'day' cannot be read" in bad
