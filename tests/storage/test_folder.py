"""An output folder is taken over by its own job, moved aside whole, and never mistaken for another's."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.errors import InputError, StorageError
from batchrun.storage.folder import Folder
from batchrun.storage.lock import FolderLock
from batchrun.storage.manifest import Manifest, read_manifest
from batchrun.storage.source import scan
from batchrun.storage.takeover import Claim, take_over
from tests.storage.outputs import Made, identity, make, write_input


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """10 rows in ranges of 4."""
    return make(tmp_path)


def claim(made: Made, rows: int = 10) -> Claim:
    return Claim("job", identity(4), made.source, made.kept, rows, 4, ["us-east-1"])


def taken(made: Made, claim: Claim) -> Manifest:
    """Take the output over as it is."""
    return take_over(made.folder, read_manifest(made.folder) if made.folder.manifest.exists() else None, claim)


def test_a_new_folder_gets_its_layout(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a" / "b")
    folder.make()
    folder.make()

    assert sorted(entry.name for entry in folder.path.iterdir()) == ["data", "tmp", "wal"]


def test_the_names_of_new_folders_are_safe_from_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = _watch_syncs(monkeypatch)
    Folder(tmp_path / "a" / "b").make()

    assert {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino} <= set(synced)


def test_what_is_moved_aside_is_safe_in_its_new_place_before_it_leaves_the_old(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = _watch_syncs(monkeypatch)
    aside = made.folder.move_aside()

    assert aside is not None
    new, parent, old = Path(aside), made.folder.path.parent, made.folder.path
    assert synced == [path.stat().st_ino for path in (new, parent, old)]


def _watch_syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the inode of whatever is synced."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    return synced


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(InputError, match=r"holds files and no batchrun manifest \(thesis\.tex\)"):
        Folder(tmp_path).make()


@pytest.mark.parametrize("name", ["data/part-000000.parquet", "wal/000000.log", "tmp/x"])
def test_parts_and_logs_without_a_manifest_are_nobodys(tmp_path: Path, name: str) -> None:
    Folder(tmp_path).make()
    (tmp_path / name).touch()

    with pytest.raises(InputError, match=name):
        Folder(tmp_path).make()


def test_an_output_that_another_run_begins_while_it_is_looked_at_is_none_of_a_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "out")
    folder.make()
    (folder.wal / "000000.log").touch()
    listed = Path.iterdir

    def begun_meanwhile(path: Path) -> Iterator[Path]:
        folder.manifest.write_text("{}")
        return iter(listed(path))

    monkeypatch.setattr(Path, "iterdir", begun_meanwhile)
    folder.make()


def test_a_start_that_was_killed_before_its_manifest_can_be_repeated(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    folder.make()
    with FolderLock(folder.lock):
        (folder.path / ".manifest.json.new").write_text('{"half')

    folder.make()


def test_a_path_that_is_a_file_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(StorageError, match=r"output\.path .*out: "):
        Folder(tmp_path / "out").make()


def test_the_same_job_goes_on_with_the_same_run(made: Made) -> None:
    again = taken(made, claim(made))

    assert again == made.manifest


def test_another_job_is_refused_and_changes_nothing(made: Made) -> None:
    other = replace(claim(made), identity=identity(5))

    with pytest.raises(InputError, match=r"output\.rows_per_part: was 4, is 5"):
        taken(made, other)
    assert read_manifest(made.folder) == made.manifest


def test_a_changed_input_is_refused(made: Made, tmp_path: Path) -> None:
    write_input(tmp_path / "in.parquet", 11)

    with pytest.raises(InputError, match=r"input file in\.parquet: changed \(10 rows"):
        taken(made, replace(claim(made), source=scan(["in.parquet"], tmp_path)))


def test_a_higher_limit_makes_further_ranges_and_takes_success_back(made: Made, tmp_path: Path) -> None:
    made.folder.manifest.unlink()
    assert taken(made, claim(made, rows=3)).stretches == (3,)
    made.folder.success.touch()

    assert taken(made, claim(made)).stretches == (3, 7)
    assert not made.folder.success.exists()
    assert read_manifest(made.folder).stretches == (3, 7)


def test_a_lower_limit_and_further_regions_leave_success(made: Made) -> None:
    made.folder.success.touch()
    manifest = taken(made, replace(claim(made, rows=3), regions=["us-west-2"]))

    assert (manifest.stretches, manifest.regions) == ((10,), ("us-east-1", "us-west-2"))
    assert read_manifest(made.folder).regions == ("us-east-1", "us-west-2")
    assert made.folder.success.exists()


def test_nothing_is_deleted_when_an_output_is_moved_aside(made: Made) -> None:
    made.finish()
    (made.folder.wal / "000000.log").write_text("line")
    before = {path.relative_to(made.folder.path): path.read_bytes() for path in files_of(made.folder.path)}
    with FolderLock(made.folder.lock):
        aside = Path(made.folder.move_aside() or "")
        made.folder.make()

    assert aside.name.startswith("out.old-20")
    assert {path.relative_to(aside): path.read_bytes() for path in files_of(aside)} == before
    assert [path.name for path in files_of(made.folder.path)] == ["lock"]


def test_outputs_moved_aside_in_the_same_second_do_not_meet(made: Made) -> None:
    first = made.folder.move_aside()
    made.folder.make()
    made.manifest.write(made.folder)
    second = made.folder.move_aside()

    assert first is not None
    assert second is not None
    assert first != second


def test_a_folder_without_an_output_has_nothing_to_move(tmp_path: Path) -> None:
    assert Folder(tmp_path / "out").move_aside() is None


@pytest.mark.parametrize("moves", range(5))
def test_a_kill_while_an_output_is_moved_leaves_none_of_it_to_a_new_one(
    made: Made, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    made.finish()  # _SUCCESS, data, tmp, wal and the manifest are to be moved
    (made.folder.wal / "000000.log").write_text("of the old run")
    rename = Path.rename
    moved: list[str] = []

    def until_killed(path: Path, to: Path) -> Path:
        if len(moved) == moves:
            raise KeyboardInterrupt
        moved.append(path.name)
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", until_killed)
    with pytest.raises(KeyboardInterrupt):
        made.folder.move_aside()

    assert len(moved) == moves
    assert made.folder.manifest.exists()  # so it is still the old output, to whoever comes next


def test_what_a_killed_run_left_half_written_is_cleared(made: Made) -> None:
    (made.folder.tmp / "part-000000.parquet").touch()
    (made.folder.tmp / "folder").mkdir()
    made.folder.clear_tmp()

    assert list(made.folder.tmp.iterdir()) == []


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
