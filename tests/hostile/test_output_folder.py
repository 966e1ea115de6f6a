"""An output folder that somebody else has written into: a line that names the file, and never an internal error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.desk import Desk, invoke, lay

JUNK = [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"state": "running", "rows": "x", "by_status": {}}']
WHOLE = {"status": "finished, as of ", "verify": "verified: every row has its one result", "run": "finished (exit 0)"}
OTHER_KINDS: list[Any] = [None, 1, "x", [None], {"a": 1}, [-5]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose job is done."""
    done = lay(tmp_path_factory.mktemp("done"))
    assert invoke("run", str(done.job), "--quiet").exit_code == 0
    return done


@pytest.fixture
def desk(done: Desk) -> Iterator[Desk]:
    """The same, for a test that writes into its output folder."""
    folder = done.folder
    whole = {path: path.read_bytes() for path in (folder.status, folder.summary, folder.manifest, folder.lock)}
    yield done
    for path, content in whole.items():
        path.write_bytes(content)


def manifest_with(desk: Desk, key: str, value: Any) -> Path:
    """Change one value of the manifest."""
    path = desk.folder.manifest
    path.write_text(json.dumps({**json.loads(path.read_bytes()), key: value}))
    return path


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *(("status.json", command) for command in ("verify", "run")),
        *(("summary.json", command) for command in WHOLE),
        ("manifest.json", "status"),
        *(("lock", command) for command in WHOLE),
    ],
)
def test_junk_in_place_of_a_file_that_a_command_does_not_need_changes_nothing(
    desk: Desk, name: str, command: str
) -> None:
    for junk in JUNK:
        (desk.folder.path / name).write_bytes(junk)
        result = desk.on_job(command)

        assert (result.exit_code, result.stderr) == (0, ""), junk[:60]
        assert result.stdout.startswith(WHOLE[command]), junk[:60]


@pytest.mark.parametrize("command", ["verify", "run"])
def test_junk_in_place_of_the_manifest_is_told(desk: Desk, command: str) -> None:
    path = desk.folder.manifest
    for junk in JUNK:
        path.write_bytes(junk)
        result = desk.on_job(command)

        assert (result.exit_code, result.stdout) == (4, ""), junk[:60]
        assert result.stderr.startswith(f"batchrun: {path}: cannot be read as a manifest: "), junk[:60]
        assert result.stderr.count("\n") == 1
        assert path.read_bytes() == junk  # it may be what is left of a manifest: nobody else writes over it


def test_junk_in_place_of_the_status_is_told(desk: Desk) -> None:
    for junk in JUNK:
        desk.folder.status.write_bytes(junk)
        result = desk.on_job("status")

        assert (result.exit_code, result.stdout) == (2, ""), junk[:60]
        assert result.stderr.startswith(f"batchrun: {desk.folder.path}: status.json is damaged;")


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: str(junk[:10]))
def test_the_next_run_writes_a_status_anew(desk: Desk, junk: bytes) -> None:
    desk.folder.status.write_bytes(junk)
    desk.on_job("run")

    assert json.loads(desk.folder.status.read_bytes())["state"] == "finished"
    assert desk.on_job("status").stdout.startswith(WHOLE["status"])


@pytest.mark.parametrize("value", OTHER_KINDS, ids=str)
@pytest.mark.parametrize("key", ["identity", "stretches", "files"])
def test_a_manifest_with_values_of_other_kinds_is_told(desk: Desk, key: str, value: Any) -> None:
    path = manifest_with(desk, key, value)
    result = desk.on_job("verify")

    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith(f"batchrun: {path}: cannot be read as a manifest: ")


@pytest.mark.parametrize("value", OTHER_KINDS, ids=str)
@pytest.mark.parametrize("key", ["regions", "emulated"])
def test_a_manifest_whose_notes_are_of_other_kinds_is_read_or_told(desk: Desk, key: str, value: Any) -> None:
    path = manifest_with(desk, key, value)
    result = desk.on_job("verify")

    if result.exit_code:
        assert (result.exit_code, result.stdout) == (4, "")
        assert result.stderr.startswith(f"batchrun: {path}: cannot be read as a manifest: ")
    else:
        assert (result.stdout[: len(WHOLE["verify"])], result.stderr) == (WHOLE["verify"], "")


@pytest.mark.parametrize("value", OTHER_KINDS, ids=str)
def test_parts_are_of_no_run_that_has_another_id(desk: Desk, value: Any) -> None:
    manifest_with(desk, "run_id", value)
    result = desk.on_job("verify")

    assert result.exit_code == 1
    assert f"{desk.folder.data / 'part-000000.parquet'}: is not this output's part: " in result.stdout
