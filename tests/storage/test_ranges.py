"""Ranges cut rows once, and never again when an output grows."""

from batchrun.storage.ranges import Range, Ranges, spans


def test_rows_are_cut_from_the_first_to_the_last() -> None:
    assert list(Ranges([10], 4)) == [Range(0, 0, 4), Range(1, 4, 8), Range(2, 8, 10)]


def test_a_range_of_one_row_each() -> None:
    ranges = Ranges([3], 1)

    assert [one.rows for one in ranges] == [1, 1, 1]
    assert [ranges.containing(row).number for row in range(3)] == [0, 1, 2]


def test_growth_cuts_new_rows_only() -> None:
    grown = Ranges([10], 4).extended_to(15)

    assert list(grown)[:3] == list(Ranges([10], 4))
    assert list(grown)[3:] == [Range(3, 10, 14), Range(4, 14, 15)]
    assert grown.stretches == [10, 5]


def test_a_lower_limit_takes_no_range_back() -> None:
    ranges = Ranges([10], 4)

    assert ranges.extended_to(7) is ranges


def test_every_row_lies_in_the_range_that_holds_it() -> None:
    ranges = Ranges([10, 5], 4)

    for row in range(15):
        assert ranges.containing(row).first_row <= row < ranges.containing(row).stop_row


def test_an_input_without_rows_makes_one_empty_range() -> None:
    assert list(Ranges([0], 4)) == [Range(0, 0, 0)]


def test_the_empty_range_stays_when_the_input_grows() -> None:
    grown = Ranges([0], 4).extended_to(5)

    assert list(grown) == [Range(0, 0, 0), Range(1, 0, 4), Range(2, 4, 5)]
    assert grown.containing(0).number == 1
    assert grown.rows == 5


def test_names_of_files_sort_like_their_ranges() -> None:
    one = Range(12, 0, 4)

    assert (one.part_name, one.log_name, one.spool_name) == (
        "part-000012.parquet",
        "000012.log",
        "000012.kept.arrow",
    )


def test_neighbouring_ranges_are_read_in_one_go() -> None:
    ranges = Ranges([20], 4)

    assert list(spans([ranges[0], ranges[1], ranges[3]])) == [(0, 8), (12, 16)]
    assert list(spans([])) == []
