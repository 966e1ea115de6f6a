"""Which files an input path means, and in which order."""

import os
import socket
from pathlib import Path

import pytest

from batchrun.errors import InputError
from batchrun.storage.source import find_files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(base: Path, *paths: str) -> list[str]:
    return [file.name for file in find_files(paths, base)]


def refusal(base: Path, *paths: str) -> str:
    with pytest.raises(InputError) as error:
        find_files(paths, base)
    return str(error.value)


def test_numbers_in_names_sort_by_value(tmp_path: Path) -> None:
    touch(tmp_path, "d/part-10.parquet", "d/part-2.parquet", "d/part-1.parq", "d/a/z.parquet")

    assert names(tmp_path, "d") == ["d/a/z.parquet", "d/part-1.parq", "d/part-2.parquet", "d/part-10.parquet"]


def test_the_order_of_the_list_does_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "b.jsonl", "c.parquet")

    assert names(tmp_path, "c.parquet", "a.csv", "b.jsonl") == ["a.csv", "b.jsonl", "c.parquet"]


def test_a_folder_is_searched_to_any_depth_but_not_its_hidden_names(tmp_path: Path) -> None:
    touch(tmp_path, "d/x/y/a.csv", "d/_SUCCESS", "d/.part.crc", "d/_temporary/b.csv", "d/.git/c.csv")

    assert names(tmp_path, "d") == ["d/x/y/a.csv"]


def test_a_wildcard_does_not_find_hidden_names_unless_it_begins_so(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.csv", "d/_b.csv", "_x/c.csv")

    assert names(tmp_path, "**/*.csv") == ["d/a.csv"]
    assert names(tmp_path, "d/_*.csv") == ["d/_b.csv"]
    assert names(tmp_path, "_x/*.csv") == ["_x/c.csv"]


def test_a_hidden_file_that_is_written_out_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "_a.csv")

    assert names(tmp_path, "_a.csv") == ["_a.csv"]


def test_two_stars_reach_a_file_once(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.csv", "d/e/b.csv")

    assert names(tmp_path, "d/**") == ["d/a.csv", "d/e/b.csv"]


def test_a_glob_may_match_folders(tmp_path: Path) -> None:
    touch(tmp_path, "y=1/a.csv", "y=2/a.csv", "z/a.csv")

    assert names(tmp_path, "y=*") == ["y=1/a.csv", "y=2/a.csv"]


def test_a_name_that_exists_is_no_glob(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].csv", "a1.csv", "what? *.csv", "Größe 大.csv")

    assert names(tmp_path, "a[1].csv") == ["a[1].csv"]
    assert names(tmp_path, "what? *.csv", "Größe 大.csv") == ["Größe 大.csv", "what? *.csv"]


def test_a_base_with_glob_characters_is_taken_literally(tmp_path: Path) -> None:
    touch(tmp_path, "b[1]/a.csv", "b1/c.csv")

    assert names(tmp_path / "b[1]", "*.csv") == ["a.csv"]


def test_a_file_outside_of_the_base_has_an_absolute_name(tmp_path: Path) -> None:
    touch(tmp_path, "jobs/x.csv", "data/a.csv")

    assert names(tmp_path / "jobs", "../data/a.csv") == [f"{tmp_path.as_posix()}/data/a.csv"]
    assert names(tmp_path / "jobs", "../data/*.csv") == [f"{tmp_path.as_posix()}/data/a.csv"]
    assert names(tmp_path / "jobs", str(tmp_path / "jobs" / "x.csv")) == ["x.csv"]


def test_endings_are_taken_in_any_case(tmp_path: Path) -> None:
    touch(tmp_path, "A.PARQUET", "b.NdJson")

    assert [file.format for file in find_files(["A.PARQUET", "b.NdJson"], tmp_path)] == ["parquet", "jsonl"]


def test_folders_with_an_equals_sign_give_partitions(tmp_path: Path) -> None:
    touch(tmp_path, "d/year=2024/city=S%C3%A3o%20Paulo/a.csv", "d/year=2025/city=__HIVE_DEFAULT_PARTITION__/a.csv")

    assert [file.partitions for file in find_files(["d"], tmp_path)] == [
        (("year", "2024"), ("city", "São Paulo")),
        (("year", "2025"), ("city", None)),
    ]


def test_one_partition_with_two_values_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "y=1/y=2/a.csv")

    assert "one partition column" in refusal(tmp_path, "y=1")


def test_links_are_followed_and_keep_their_name(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.csv")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")

    assert names(tmp_path, "link") == ["link/a.csv"]


def test_a_file_reached_twice_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.csv")
    (tmp_path / "d" / "b.csv").symlink_to(tmp_path / "d" / "a.csv")

    assert "a.csv is reached twice; first as 'd/a.csv'" in refusal(tmp_path, "d/a.csv", "d/a*.csv")
    assert "b.csv is reached twice" in refusal(tmp_path, "d")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing.csv", "there is no"),
        ("", "there is no"),
        ("*.parquet", "no files"),
        ("empty", "no files"),
        ("broken.csv", "No such file"),
        ("a.txt", "'.txt'; supported are .parquet, .parq, .jsonl, .ndjson, .csv"),
        ("with_text", "'.txt'; supported"),
        ("mixed", "more than one format (mixed/a.csv, mixed/b.parquet)"),
        ("https://host/a.csv", "only local files and s3://"),
    ],
)
def test_what_cannot_be_an_input_is_refused(tmp_path: Path, path: str, words: str) -> None:
    touch(tmp_path, "a.txt", "with_text/a.csv", "with_text/b.txt", "mixed/a.csv", "mixed/b.parquet", "empty/_x.csv")
    (tmp_path / "broken.csv").symlink_to(tmp_path / "gone.csv")

    assert words in refusal(tmp_path, path)


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes at most
    os.mkfifo("pipe.csv")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.csv")

        assert "not a regular file" in refusal(tmp_path, "socket.csv")
        assert "not a regular file" in refusal(tmp_path, "pipe.csv")
