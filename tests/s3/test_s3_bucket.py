"""A bucket: what is read and written, under which conditions, and how what goes wrong is said."""

import gc
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import anyio.lowlevel
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import StorageError
from batchrun.storage.s3 import Bucket, ConflictError, Connection, MissingError, S3Options
from tests.s3.proxy import Fault, Proxy
from tests.services import ObjectStore, free_ports

LARGE_BYTES = 20 << 20  # above what goes in one request


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large"
    path.write_bytes(b"0123456789abcdef" * (LARGE_BYTES // 16))
    return path


def test_objects_are_listed_below_their_prefix_in_the_order_of_their_keys(bucket: Bucket) -> None:
    for key in ("a/2", "a/10", "b/1", "a/x y+&é", "ab"):
        bucket.put(key, key.encode())

    assert [one.key for one in bucket.objects("a/")] == ["a/10", "a/2", "a/x y+&é"]
    assert [one.key for one in bucket.objects()] == ["a/10", "a/2", "a/x y+&é", "ab", "b/1"]
    [found] = bucket.objects("a/2")
    assert (found.size_bytes, found.etag) == (3, bucket.head("a/2").etag)


def test_a_listing_goes_on_over_pages(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrun.storage.s3.bucket.KEYS_PER_PAGE", 3)
    for at in range(10):
        bucket.put(f"p/{at}", b"")

    assert [one.key for one in bucket.objects("p/")] == [f"p/{at}" for at in range(10)]


def test_what_is_not_there_is_none(bucket: Bucket) -> None:
    assert bucket.get("no") is None
    assert bucket.head("no") is None
    assert list(bucket.objects("no")) == []


def test_a_new_object_is_never_written_over_another(bucket: Bucket) -> None:
    bucket.create("k", b"first")

    with pytest.raises(ConflictError, match=f"s3://{bucket.name}/k: was written by somebody else"):
        bucket.create("k", b"second")
    assert bucket.get("k").content == b"first"


def test_the_same_content_again_is_no_conflict(bucket: Bucket) -> None:
    assert bucket.create("k", b"first") == bucket.create("k", b"first")


def test_a_replacement_takes_the_place_of_what_was_seen_and_of_nothing_else(bucket: Bucket) -> None:
    seen = bucket.create("k", b"first")
    bucket.replace("k", b"second", seen)

    with pytest.raises(ConflictError):
        bucket.replace("k", b"third", seen)
    with pytest.raises(ConflictError):
        bucket.replace("none", b"third", seen)
    assert bucket.get("k").content == b"second"


def test_of_many_that_create_one_object_at_once_one_succeeds(bucket: Bucket) -> None:
    def create(number: int) -> bool:
        try:
            bucket.create("k", str(number).encode())
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1


def test_a_large_file_goes_in_parts_under_the_same_conditions(bucket: Bucket, large: Path) -> None:
    etag = bucket.create("large", large)

    assert etag.endswith('-3"')  # three parts: 8, 8 and 4 MiB
    assert bucket.head("large").size_bytes == LARGE_BYTES
    assert bucket.create("large", large) == etag
    bucket.put("other", b"x")
    with pytest.raises(ConflictError):
        bucket.create("other", large)
    assert bucket.get("other").content == b"x"
    info = bucket.head("large")
    assert bucket.get_range(info, LARGE_BYTES - 20, LARGE_BYTES) == large.read_bytes()[-20:]


def test_an_upload_that_fails_leaves_no_parts_behind(bucket: Bucket, large: Path, object_store: ObjectStore) -> None:
    bucket.put("k", b"x")
    with pytest.raises(ConflictError):
        bucket.create("k", large)

    assert "Uploads" not in object_store.client().list_multipart_uploads(Bucket=bucket.name)


def test_a_file_that_is_not_there_is_the_callers_error(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        bucket.create("k", tmp_path / "none")


def test_objects_are_copied_and_deleted(bucket: Bucket) -> None:
    bucket.put("a", b"content")
    bucket.copy("a", "b/c")
    bucket.delete(["a", "never there"])

    assert [one.key for one in bucket.objects()] == ["b/c"]
    assert bucket.get("b/c").content == b"content"
    with pytest.raises(MissingError):
        bucket.copy("a", "d")


def test_a_range_of_an_object_that_has_changed_is_refused(bucket: Bucket) -> None:
    bucket.put("k", b"0123456789")
    info = bucket.head("k")
    assert bucket.get_range(info, 2, 5) == b"234"
    bucket.put("k", b"abcdefghij")

    with pytest.raises(ConflictError):
        bucket.get_range(info, 2, 5)


def test_an_object_reads_as_a_file_does(bucket: Bucket) -> None:
    content = bytes(range(256)) * 8_192  # 2 MiB
    bucket.put("k", content)
    plain, reader = io.BytesIO(content), bucket.open(bucket.head("k"))

    for place, size in ((0, 10), (10, 300_000), (5, 5), (2_000_000, 200_000), (len(content), 1), (7, 1_500_000)):
        assert (reader.seek(place), reader.read(size)) == (place, (plain.seek(place), plain.read(size))[1])
    assert reader.seek(-3, io.SEEK_END) == len(content) - 3
    assert reader.read() == content[-3:]
    reader.seek(0)
    assert reader.readall() == content


def test_reading_straight_on_fetches_nothing_twice_and_few_times(faulty: Bucket, proxy: Proxy) -> None:
    content = bytes(16 << 20)
    faulty.put("k", content)
    reader = faulty.open(faulty.head("k"))
    proxy.seen.clear()
    while reader.read(65_536):
        pass

    assert reader.fetched_bytes == len(content)
    assert len(proxy.seen) == 8  # 256 KiB, 512 KiB, 1, 2 and 4 MiB are 7.75; then 4, 4 and the rest


def test_one_column_of_a_wide_file_is_fetched_without_the_others(bucket: Bucket, tmp_path: Path) -> None:
    rows, columns = 20_000, 40
    text = [f"{row:>40}" for row in range(rows)]
    path = tmp_path / "wide.parquet"
    table = pa.table({f"c{at}": text for at in range(columns)})
    pq.write_table(table, path, row_group_size=5_000, use_dictionary=False, compression="none")
    bucket.put("wide", path)
    reader = bucket.open(bucket.head("wide"))
    with pq.ParquetFile(reader, pre_buffer=False, buffer_size=1 << 18) as file:
        read = pa.Table.from_batches(file.iter_batches(columns=["c7"], use_threads=False))

    assert read.column("c7").to_pylist() == text
    column_bytes = path.stat().st_size / columns  # 0.9 MB
    assert reader.fetched_bytes < 3 * column_bytes


def test_an_object_that_changes_while_it_is_read_is_no_end_of_file(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": list(range(400_000))}), path, use_dictionary=False, compression="none")
    bucket.put("k", path)
    reader = bucket.open(bucket.head("k"))
    file = pq.ParquetFile(reader, pre_buffer=False)
    bucket.put("k", b"other")

    with pytest.raises(ConflictError):
        file.read()


@pytest.mark.parametrize("method", ["create", "replace"])
def test_a_write_whose_answer_is_lost_is_no_conflict_with_itself(faulty: Bucket, proxy: Proxy, method: str) -> None:
    seen = faulty.put("k", b"first")
    proxy.faults.append(Fault("lost", "PUT"))
    proxy.seen.clear()
    etag = faulty.replace("k", b"second", seen) if method == "replace" else faulty.create("new", b"second")

    puts = [one.status for one in proxy.seen if one.method == "PUT"]
    assert puts == [200, 412]
    assert faulty.head("k" if method == "replace" else "new").etag == etag


def test_a_large_write_whose_last_answer_is_lost_is_no_conflict_with_itself(
    faulty: Bucket, proxy: Proxy, large: Path
) -> None:
    proxy.faults.append(Fault("lost", "POST", "uploadId"))
    etag = faulty.create("large", large)

    assert faulty.head("large").etag == etag
    assert proxy.faults == []


def test_a_store_that_asks_to_slow_down_is_asked_again(faulty: Bucket, proxy: Proxy) -> None:
    proxy.faults += [Fault("slow", "PUT"), Fault("slow", "GET")]
    faulty.create("k", b"x")

    assert faulty.get("k").content == b"x"
    assert proxy.faults == []


def test_a_connection_cut_in_the_middle_of_a_read_is_read_again(faulty: Bucket, proxy: Proxy) -> None:
    content = bytes(range(256)) * 4_000
    faulty.put("k", content)
    proxy.faults += [Fault("cut", "GET"), Fault("lost", "GET"), Fault("cut", "GET")]

    assert faulty.open(faulty.head("k")).readall() == content
    assert proxy.faults == []


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"name": "no-such-bucket"}, "s3://no-such-bucket/p: there is no such bucket"),
        ({"key": "unknown"}, "the store does not know this access key"),
        ({"secret": "wrong"}, "the secret key does not fit the access key"),
        ({"profile": "nobody"}, "no AWS credentials: The config profile (nobody) could not be found"),
        ({"key": None, "secret": None}, "no AWS credentials: Unable to locate credentials"),
    ],
)
def test_what_is_refused_is_said_in_one_line(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str | None], words: str
) -> None:
    for name, variable in (("key", "AWS_ACCESS_KEY_ID"), ("secret", "AWS_SECRET_ACCESS_KEY")):
        if name in keys:
            value = keys[name]
            monkeypatch.delenv(variable) if value is None else monkeypatch.setenv(variable, value)
    with Connection(S3Options(object_store.endpoint, profile=keys.get("profile"))) as store:
        bucket = Bucket(store, keys.get("name") or object_store.bucket)

        with pytest.raises(StorageError) as caught:
            list(bucket.objects("p"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_is_not_there_is_named(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrun.storage.s3.connection.ATTEMPTS", 1)  # else the SDK tries for a minute
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    with Connection(S3Options(endpoint)) as store, pytest.raises(StorageError, match=f"{endpoint} cannot be reached"):
        Bucket(store, "bucket").get("k")


def test_a_profile_signs_and_gives_the_region(
    object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = object_store.environment
    (tmp_path / "aws").write_text(
        f"[data]\naws_access_key_id={keys['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key={keys['AWS_SECRET_ACCESS_KEY']}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    with Connection(S3Options(object_store.endpoint, profile="data")) as store:
        bucket = Bucket(store, object_store.bucket)
        bucket.put("k", b"x")

        assert bucket.get("k").content == b"x"


def test_keys_that_expire_are_read_again_once(faulty: Bucket, proxy: Proxy) -> None:
    faulty.put("k", b"x")
    proxy.faults.append(Fault("expired", "GET"))

    assert faulty.get("k").content == b"x"
    proxy.faults += [Fault("expired", "GET"), Fault("expired", "GET")]
    with pytest.raises(StorageError, match="the credentials have expired: renew them and run again"):
        faulty.get("k")


@pytest.mark.anyio
async def test_an_event_loop_goes_on_while_a_worker_thread_asks_the_store(bucket: Bucket) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.lowlevel.checkpoint()
            ticks += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await anyio.to_thread.run_sync(bucket.put, "k", b"x")
        tasks.cancel_scope.cancel()

    assert ticks > 3


def test_a_store_is_closed_when_nobody_holds_it(object_store: ObjectStore) -> None:
    def loops() -> int:
        return sum(thread.name == "batchrun-s3" for thread in threading.enumerate())

    before = loops()
    bucket = Bucket(Connection(S3Options(object_store.endpoint)), object_store.bucket)
    bucket.put("k", b"x")
    assert loops() == before + 1
    del bucket
    gc.collect()

    assert loops() == before


def test_a_closed_store_opens_anew(bucket: Bucket) -> None:
    bucket.put("k", b"x")
    bucket.store.close()
    bucket.store.close()

    assert bucket.get("k").content == b"x"


def test_a_listing_says_what_the_store_says(bucket: Bucket, object_store: ObjectStore) -> None:
    for key in ("a&b <c>.csv", "ü/\t\n", 'q"uote', "plain"):
        bucket.put(key, key.encode())
    plain = object_store.client().list_objects_v2(Bucket=bucket.name)["Contents"]

    found = [(one.key, one.size_bytes, one.etag, one.modified_at) for one in bucket.objects()]
    assert found == [(one["Key"], one["Size"], one["ETag"], one["LastModified"]) for one in plain]
    assert len(found) == 4
