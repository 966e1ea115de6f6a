"""A desk for every test, and no AWS account in sight."""

import os
from pathlib import Path

import pytest

from tests.cli.desk import Desk, lay


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Five rows in parts of two, on an emulator without latency."""
    return lay(tmp_path)
