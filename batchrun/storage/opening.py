"""Which kind of store a job's output.path means."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchrun.jobspec import JobSpec
from batchrun.storage.folder import Folder
from batchrun.storage.store import Store


@contextmanager
def open_store(spec: JobSpec) -> Iterator[Store]:
    """Open where a job's output lives, for as long as the context lasts."""
    where = spec.output.path
    if isinstance(where, Path):
        yield Folder(where)
        return
    from batchrun.storage.s3 import Bucket, Connection, S3Options  # only an output in S3 waits for the SDK
    from batchrun.storage.s3.output import BucketOutput

    told = spec.output.storage_options
    with Connection(S3Options(told.endpoint, told.region, told.profile)) as connection:
        yield BucketOutput(Bucket(connection, where.bucket), where.key, scratch_of(spec))


def scratch_of(spec: JobSpec) -> Path:
    """Return the folder of this machine for the logs of an output that lies elsewhere."""
    return spec.output.scratch or spec.base / ".batchrun" / spec.name
