"""A workshop for every test, new or with its job done."""

import shutil
from pathlib import Path

import pytest

from tests.cli.desk import invoke
from tests.schedules.workshop import Workshop, furnish


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Three rows, on an emulator without latency."""
    return furnish(tmp_path)


@pytest.fixture(scope="session")
def done_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the job once for all tests that begin where it is done."""
    shop = furnish(tmp_path_factory.mktemp("done"))
    assert invoke("run", str(shop.job), "--quiet").exit_code == 0
    return shop.path


@pytest.fixture
def finished(done_once: Path, tmp_path: Path) -> Workshop:
    """The same with its job done."""
    shutil.copytree(done_once, tmp_path, dirs_exist_ok=True)
    return Workshop(tmp_path)
