"""Input from a store: which objects a URL means, what is read of them, and what is noticed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.api import verify
from batchrun.errors import InputError, StorageError
from batchrun.storage.s3 import Bucket
from batchrun.storage.source import Source, SourceFile, scan
from batchrun.storage.source.files import find_files, order_of
from tests.run.rehearsal import job_over, rehearse
from tests.s3.proxy import Fault, Proxy

JSONL = b'{"id": 1, "text": "one"}\n{"id": 2, "text": "two"}\n'


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue().to_pybytes()


def fill(bucket: Bucket, *keys: str) -> None:
    for key in keys:
        bucket.put(key, b"id\n1\n" if key.endswith(".csv") else b"")


def names(bucket: Bucket, *paths: str) -> list[str]:
    found = find_files([bucket.where(path) for path in paths], Path("/"), bucket.store, [])
    return [name.removeprefix(bucket.where()) for name in sorted(found, key=order_of)]


def source(bucket: Bucket, *paths: str, known: Source | None = None, base: Path = Path("/")) -> Source:
    before = {file.name: file for file in known.files} if known is not None else {}
    entries = [path if "/" in path and path.startswith("/") else bucket.where(path) for path in paths]
    return scan(entries, base, before, bucket.store.options)


def values(source: Source, *columns: str) -> list[tuple[Any, ...]]:
    read = source.read(columns, 0, source.rows)
    return [tuple(row.values()) for batch in read for row in batch.batch.to_pylist()]


def asked(proxy: Proxy) -> list[str]:
    """Return the methods of the requests that were not for a listing."""
    return [one.method for one in proxy.seen if "list-type=2" not in one.path]


def test_an_object_a_folder_and_a_glob_mean_what_they_mean_for_files(bucket: Bucket) -> None:
    fill(
        bucket, "d/part-10.csv", "d/part-2.csv", "d/a/z.csv", "d/_SUCCESS", "d/.x.csv", "d/_t/b.csv", "d/", "other.csv"
    )

    assert names(bucket, "d") == names(bucket, "d/") == ["d/a/z.csv", "d/part-2.csv", "d/part-10.csv"]
    assert names(bucket, "d/*.csv") == ["d/part-2.csv", "d/part-10.csv"]
    assert names(bucket, "**/*.csv") == ["d/a/z.csv", "d/part-2.csv", "d/part-10.csv", "other.csv"]
    assert names(bucket, "?") == names(bucket, "[c-e]/") == names(bucket, "d/**") == names(bucket, "d")
    assert names(bucket, "d/_t/*.csv") == ["d/_t/b.csv"]
    assert names(bucket, "d/_t") == ["d/_t/b.csv"]
    assert names(bucket, "d/.x.csv", "other.csv") == ["d/.x.csv", "other.csv"]
    assert names(bucket, "") == ["d/a/z.csv", "d/part-2.csv", "d/part-10.csv", "other.csv"]


def test_a_key_that_exists_is_no_glob(bucket: Bucket) -> None:
    fill(bucket, "a[1].csv", "a1.csv", "what? *.csv", "Größe 大/x.csv")

    assert names(bucket, "a[1].csv") == ["a[1].csv"]
    assert names(bucket, "what? *.csv", "Größe 大") == ["Größe 大/x.csv", "what? *.csv"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nothing.csv", "there is no such object, and none below s3://tests/nothing.csv/"),
        ("mix", "there is no such object, and none below s3://tests/mix/"),
        ("*.parquet", "'s3://tests/*.parquet': no files"),
        ("hidden", "folder s3://tests/hidden/: no files"),
        ("text", "s3://tests/text/b.txt: cannot read files that end in '.txt'; supported are .parquet"),
        ("mixed", "more than one format (s3://tests/mixed/a.csv, s3://tests/mixed/b.parquet)"),
        ("y=1", "two folders give one partition column different values"),
    ],
)
def test_what_cannot_be_an_input_is_refused(bucket: Bucket, path: str, words: str) -> None:
    fill(bucket, "hidden/_x.csv", "text/a.csv", "text/b.txt", "mixed/a.csv", "mixed/b.parquet", "y=1/y=2/a.csv")

    with pytest.raises(InputError) as caught:
        names(bucket, path)
    assert words in str(caught.value)


def test_an_object_reached_twice_is_refused(bucket: Bucket) -> None:
    fill(bucket, "d/a.csv")

    with pytest.raises(InputError, match=r"s3://tests/d/a\.csv is reached twice; first as 's3://tests/d'"):
        names(bucket, "d", "d/*.csv")


def test_a_bucket_that_is_not_there_is_no_fault_of_the_input(bucket: Bucket) -> None:
    with pytest.raises(StorageError, match="s3://nobodys/d/: there is no such bucket"):
        find_files(["s3://nobodys/d"], Path("/"), bucket.store, [])


def test_rows_of_all_formats_and_of_both_places_are_read_under_one_numbering(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a/day=1/x.parquet", parquet({"id": [1, 2], "text": ["p", "q"]}))
    bucket.put("b/x.jsonl", JSONL)
    (tmp_path / "c.csv").write_text("id,text\n7,local\n")
    bucket.put("d/x.csv", b'id,text\n8,"two\nlines"\n')
    read = source(bucket, "a", "b", str(tmp_path / "c.csv"), "d", base=tmp_path)

    assert values(read, "text") == [("local",), ("p",), ("q",), ("one",), ("two",), ("two\nlines",)]
    assert read.files[1].partitions == (("day", "1"),)
    assert values(source(bucket, "a"), "day", "id") == [("1", 1), ("1", 2)]


def test_a_record_of_an_object_survives_the_manifest(bucket: Bucket) -> None:
    bucket.put("x.jsonl", JSONL)
    [file] = source(bucket, "x.jsonl").files

    assert SourceFile.from_json(file.to_json()) == file
    assert (file.name, file.etag) == ("s3://tests/x.jsonl", bucket.head("x.jsonl").etag)


def test_a_known_object_of_the_same_etag_is_not_asked_for(faulty: Bucket, proxy: Proxy) -> None:
    for at in range(5):
        faulty.put(f"d/{at}.parquet", parquet({"id": [at]}))
    first = source(faulty, "d")
    proxy.seen.clear()
    again = source(faulty, "d", known=first)

    assert again.files == first.files
    assert asked(proxy) == ["HEAD"]  # of «d», which could have been an object


def test_an_object_written_again_is_read_again_and_known_by_its_content(bucket: Bucket) -> None:
    bucket.put("d/x.jsonl", JSONL)
    first = source(bucket, "d")
    bucket.put("d/x.jsonl", JSONL.replace(b"one", b"ONE"))
    changed = source(bucket, "d", known=first)

    assert values(changed, "text") == [("ONE",), ("two",)]
    assert not changed.files[0].is_same_content(first.files[0])
    bucket.put("d/x.jsonl", JSONL)
    assert source(bucket, "d", known=changed).files[0].is_same_content(first.files[0])


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "x.csv"])
def test_an_object_that_changes_behind_the_scan_is_refused(bucket: Bucket, name: str) -> None:
    content = {"x.parquet": parquet({"id": [1, 2]}), "x.jsonl": JSONL, "x.csv": b"id\n1\n2\n"}[name]
    bucket.put(name, content)
    read = source(bucket, name)
    bucket.put(name, content + b"\n")

    with pytest.raises(InputError, match=f"s3://tests/{name}: changed since it was scanned"):
        values(read, "id")
    bucket.delete([name])
    with pytest.raises(InputError, match=f"s3://tests/{name}: "):
        values(read, "id")


def test_a_scan_reads_a_footer_with_one_request_and_many_at_once(faulty: Bucket, proxy: Proxy) -> None:
    for at in range(30):
        faulty.put(f"d/{at}.parquet", parquet({"id": [at], "text": ["x" * 1000]}))
    proxy.seen.clear()
    read = source(faulty, "d")

    assert read.rows == 30
    assert asked(proxy) == ["HEAD", *["GET"] * 30]


def test_one_broken_file_ends_the_scan_by_its_name(bucket: Bucket) -> None:
    for at in range(3):
        bucket.put(f"d/{at}.parquet", parquet({"id": [at]}))
    bucket.put("d/1.parquet", b"no Parquet at all")

    with pytest.raises(InputError, match=r"s3://tests/d/1\.parquet: 17 bytes that do not end with PAR1"):
        source(bucket, "d")


def test_one_column_and_one_row_group_are_fetched_and_nothing_else(faulty: Bucket, proxy: Proxy) -> None:
    rows, columns = 40_000, 20
    text = [f"{row:>40}" for row in range(rows)]
    content = parquet(
        {f"c{at}": text for at in range(columns)}, row_group_size=10_000, use_dictionary=False, compression="none"
    )
    faulty.put("wide.parquet", content)
    read = source(faulty, "wide.parquet")
    proxy.seen.clear()
    found = [row for batch in read.read(["c7"], 20_000, 30_000) for row in batch.batch.column(0).to_pylist()]

    assert found == text[20_000:30_000]
    chunk_bytes = len(content) / columns / 4  # 0.44 MB
    fetched = sum(_range_bytes(one.headers["Range"]) for one in proxy.seen)
    assert chunk_bytes < fetched < 3 * chunk_bytes + 300_000  # the footer is read once more


def _range_bytes(header: str) -> int:
    first, last = header.removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def test_a_connection_cut_while_rows_are_read_goes_unnoticed(faulty: Bucket, proxy: Proxy) -> None:
    faulty.put("x.jsonl", JSONL * 20_000)
    read = source(faulty, "x.jsonl")
    proxy.faults += [Fault("cut", "GET", "x.jsonl"), Fault("slow", "GET", "x.jsonl")]

    assert len(values(read, "id")) == 40_000


def test_a_long_known_listing_is_divided_and_complete(
    faulty: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchrun.storage.source.s3_files.KEYS_PER_LISTING", 4)
    fill(faulty, *[f"d/{at}.csv" for at in range(20)])
    first = source(faulty, "d")
    fill(faulty, "d/00.csv", "d/11x.csv", "d/zz.csv")
    faulty.delete(["d/5.csv"])
    proxy.seen.clear()
    again = source(faulty, "d", known=first)

    assert sum("list-type=2" in one.path for one in proxy.seen) == 6  # 20 known: 20 // 4 + 1
    expected = {f"d/{at}.csv" for at in range(20)} | {"d/00.csv", "d/11x.csv", "d/zz.csv"}
    assert {file.name.removeprefix("s3://tests/") for file in again.files} == expected
    assert again.missing == {"s3://tests/d/5.csv"}


def test_a_file_of_the_input_that_is_gone_keeps_its_place(bucket: Bucket) -> None:
    for name in "ab":
        bucket.put(f"d/{name}.jsonl", b'{"id": "%s"}\n' % name.encode())
    first = source(bucket, "d")
    bucket.delete(["d/a.jsonl"])
    again = source(bucket, "d", known=first)

    assert (again.rows, again.missing) == (2, {"s3://tests/d/a.jsonl"})
    assert [batch.batch.to_pylist() for batch in again.read(["id"], 1, 2)] == [[{"id": "b"}]]


def test_a_job_runs_over_objects_and_its_next_start_has_nothing_to_do(bucket: Bucket, tmp_path: Path) -> None:
    for at in range(3):
        text = [f"{row} [[output_tokens=2]]" for row in range(4)]
        bucket.put(f"rows/part={at}/x.parquet", parquet({"text": text, "n": list(range(4))}))
    options = {"endpoint": bucket.store.endpoint}
    keys = {"path": bucket.where("rows"), "keep": ["n", "part"], "storage_options": options}
    spec = job_over(tmp_path, "", input=keys, output={"rows_per_part": 5})
    ended = rehearse(spec)

    assert (ended.code, ended.calls) == (0, 12)
    assert [(row["part"], row["n"]) for row in ended.rows()] == [(str(at), row) for at in range(3) for row in range(4)]
    assert verify(spec) == []
    bucket.put("rows/part=3/x.parquet", parquet({"text": ["new"], "n": [7]}))
    again = rehearse(spec, ended.transport)
    assert (again.code, again.calls, again.rows()[-1]["n"]) == (0, 13, 7)
    bucket.put("rows/part=0/x.parquet", parquet({"text": ["other"], "n": [7]}))
    with pytest.raises(InputError, match=r"input file s3://tests/rows/part=0/x\.parquet: changed"):
        rehearse(spec, ended.transport)


def test_a_glob_finds_in_a_store_what_it_finds_in_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    keys = ["a.csv", "_b.csv", "x/a.csv", "x/.h.csv", "x/y/a1.csv", "x/y/a2.csv", "x/_y/a.csv", "_z/c.csv", "x1/b.csv"]
    for key in keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(b"id\n1\n")
    fill(bucket, *keys)

    def in_folder(pattern: str) -> list[str]:
        try:
            return sorted(find_files([pattern], tmp_path, bucket.store, []), key=order_of)
        except InputError:
            return []

    def in_store(pattern: str) -> list[str]:
        try:
            return names(bucket, pattern)
        except InputError:
            return []

    patterns = ["*", "**", "*.csv", "**/*.csv", "x*", "x*/*.csv", "*/y", "x/**/a*.csv", "**/y/**", "?.csv", "[ab].csv"]
    patterns += ["_*", "_*/*", "x/_*/*.csv", "**/_y/*.csv", "x/y/a[!1].csv", "nothing*", "x/*/*/*"]
    for pattern in patterns:
        assert in_store(pattern) == in_folder(pattern), pattern
    assert in_store("**/*.csv") == ["a.csv", "x/a.csv", "x/y/a1.csv", "x/y/a2.csv", "x1/b.csv"]
