"""A desk for every test."""

from pathlib import Path

import pytest

from tests.cli.desk import Desk, lay


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Five rows in parts of two, on an emulator without latency."""
    return lay(tmp_path)
