"""The manifest comes back as it was written, and names all in which another job differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.errors import InputError, StorageError
from batchrun.storage.files import as_json
from batchrun.storage.folder import Folder
from batchrun.storage.manifest import Manifest, check_identity, read_manifest
from tests.storage.outputs import Made, make


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return make(tmp_path)


def check(made: Made, **changes: object) -> None:
    check_identity(made.folder.name, made.manifest, {**made.manifest.identity, **changes})


def test_a_manifest_comes_back_as_it_was_written(made: Made) -> None:
    again = read_manifest(made.folder)

    assert again == made.manifest
    assert again.stretches == (10,)
    assert not again.emulated


def test_regions_add_up(made: Made) -> None:
    assert made.manifest.with_regions(["eu-west-1", "us-east-1"]).regions == ("eu-west-1", "us-east-1")


def test_the_same_job_passes(made: Made) -> None:
    check(made)


def test_every_key_that_differs_is_named_with_both_values(made: Made) -> None:
    with pytest.raises(InputError) as told:
        check(made, **{"input.id": None, "generation.top_p": 0.5})

    assert str(told.value) == (
        f"{made.folder.path}: the output belongs to another job:\n"
        "  generation.top_p: was unset, is 0.5\n"
        '  input.id: was "id", is unset\n'
        "Put these back, choose another output.path, or start anew with --fresh (it moves the old output aside)."
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 1}',
        "\ud83d",
        '{"format": 1, "run_id": "", "job": "", "identity": {}, "files": [{}]}',
    ],
)
def test_what_is_no_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8", errors="backslashreplace")

    with pytest.raises(StorageError, match=r"manifest\.json: cannot be read as a manifest: .*; put a copy .* --fresh"):
        read_manifest(Folder(tmp_path))


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 2}')

    with pytest.raises(StorageError, match="manifest format 2, this batchrun reads 1"):
        read_manifest(Folder(tmp_path))


def test_an_emulated_output_says_so(made: Made) -> None:
    manifest: Manifest = replace(made.manifest, identity={**made.manifest.identity, "answers": "emulator"})

    assert manifest.emulated


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a.json", b"before")
    (tmp_path / "is-a-folder").mkdir()
    with pytest.raises(IsADirectoryError):
        folder.write("is-a-folder", b"text")

    assert folder.read("a.json") == b"before"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "is-a-folder"]


def test_text_that_utf_8_cannot_spell_is_still_json() -> None:
    assert as_json({"message": "a\ud83db é"}) == b'{\n "message": "a\\ud83db \xc3\xa9"\n}\n'
