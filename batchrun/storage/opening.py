"""Which kind of store a job's output.path means."""

from collections.abc import Iterator
from contextlib import contextmanager

from batchrun.jobspec import JobSpec
from batchrun.storage.folder import Folder
from batchrun.storage.store import Store


@contextmanager
def open_store(spec: JobSpec) -> Iterator[Store]:
    """Open where a job's output lives, for as long as the context lasts."""
    yield Folder(spec.output.path)
