"""One emulator and one zygote for all tests of a session."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.books import Books, emulated_bedrock
from tests.torture.disks import fastest_place
from tests.torture.zygote import Zygote


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A folder that other users may enter too, as pytest's own may not."""
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=fastest_place())).resolve()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def books(ground: Path) -> Iterator[Books]:
    """The books of an emulator in its own process."""
    with emulated_bedrock(ground) as books:
        yield books


@pytest.fixture(scope="session")
def zygote(ground: Path) -> Iterator[Zygote]:
    """A process that runs are forked from."""
    with Zygote(ground / "scratch") as zygote:
        yield zygote


@pytest.fixture
def base(ground: Path, request: pytest.FixtureRequest) -> Path:
    """A fresh folder of the test's own."""
    folder = ground / f"{abs(hash(request.node.nodeid)):x}-{os.getpid()}"
    folder.mkdir()
    return folder
