"""An output folder that somebody else has written into: a line that names the file, and never an internal error."""

import json
from typing import Any

import pytest

from tests.cli.desk import Desk, invoke, lay

JUNK = [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"state": "running", "rows": "x", "by_status": {}}']


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose job is done."""
    done = lay(tmp_path_factory.mktemp("done"))
    assert invoke("run", str(done.job), "--quiet").exit_code == 0
    return done


@pytest.mark.parametrize("name", ["status.json", "summary.json", "manifest.json", "lock"])
def test_junk_in_place_of_a_file_of_ours_is_told_or_written_anew(desk: Desk, name: str) -> None:
    path = desk.folder.path / name
    whole = path.read_bytes()
    for junk in JUNK:
        for command in ("status", "verify", "run"):
            path.write_bytes(junk)
            result = desk.on_job(command)

            assert result.exit_code in {0, 1, 2, 4}, (junk[:60], command, result.output)
            assert "internal" not in result.output
            assert result.exit_code == 0 or "out" in result.stdout + result.stderr
    path.write_bytes(whole)


@pytest.mark.parametrize("key", ["identity", "regions", "stretches", "files", "run_id", "emulated"])
def test_a_manifest_with_values_of_other_kinds_is_told(desk: Desk, key: str) -> None:
    path = desk.folder.path / "manifest.json"
    whole = path.read_bytes()
    values: list[Any] = [None, 1, "x", [None], {"a": 1}, [-5]]
    for value in values:
        path.write_text(json.dumps({**json.loads(whole), key: value}))
        result = desk.on_job("verify")

        assert result.exit_code in {0, 1, 2, 4}, (value, result.output)
        assert "internal" not in result.output
    path.write_bytes(whole)
