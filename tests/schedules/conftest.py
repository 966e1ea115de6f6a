"""A workshop for every test."""

from pathlib import Path

import pytest

from tests.schedules.workshop import Workshop, furnish


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """Three rows, on an emulator without latency."""
    return furnish(tmp_path)
