"""Job files that nobody would write: a line that says what is wrong, and never a traceback."""

import json
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchrun.errors import JobError
from batchrun.jobspec import JobSpec, keys, load_job
from batchrun.jobspec.overrides import override
from tests.cli.desk import EMULATED, JOB, invoke

VALID = JOB + EMULATED
FEW = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KEYS = [key.name for key in keys()]
TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)  # control characters and surrogates too
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**63, -(2**63) - 1, 10**400]), st.floats(), TEXTS,
    st.dates(), st.times(), st.datetimes(), st.sampled_from(["", " ", "~", "/", "../..", "s3://x", "\0", "{", "}}"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8
)


def placed(key: str, value: Any) -> dict[str, Any]:
    """Return the valid job with one key changed; a `*` in the key becomes a name of the user's."""
    job: dict[str, Any] = tomllib.loads(VALID)
    table = job
    *above, last = key.replace("*", "us-east-1/geo").split(".") if "pools" in key else key.replace("*", "x").split(".")
    for name in above:
        table = table.setdefault(name, {})
    table[last] = value
    return job


def refusal(job: dict[str, Any]) -> str:
    """Return what a job is refused with, "" if it is taken."""
    return refused(lambda: JobSpec.from_mapping(job, base=Path("/nonexistent")))


def refused(attempt: Callable[[], object]) -> str:
    """Return what an attempt is refused with, "" if it is not; any other error is a failure."""
    try:
        attempt()
    except JobError as error:
        return str(error)
    return ""


@FEW
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_a_wrong_value_is_refused_by_the_name_of_its_key(key: str, value: Any) -> None:
    job = placed(key, value)
    told = refusal(job)

    # Where the value happens to be right, or ends another key's sense, that key is named instead.
    assert not told or any(f"job: {name}" in told for name in _tables_of(KEYS)), told
    assert len(told) < 5_000


def _tables_of(names: list[str]) -> list[str]:
    return sorted({name.split(".")[0] for name in names})


@pytest.mark.parametrize("key", KEYS)
def test_no_key_takes_a_value_of_every_kind(key: str) -> None:
    kinds: list[Any] = [True, 1.5, "x y", [], [[1]], {"a": 1}, 10**30, "\0", "\ud800"]
    name = key.replace("*", '"us-east-1/geo"') if "pools" in key else key.replace("*", "x")
    told = [refusal(placed(key, value)) for value in kinds]

    assert any(f"job: {name.split('.*')[0].partition('[')[0]}" in one for one in told), told


@FEW
@given(above=st.lists(TEXTS.filter(bool), min_size=0, max_size=6), last=TEXTS.filter(bool), value=VALUES)
def test_an_unknown_key_anywhere_is_refused_by_name(above: list[str], last: str, value: Any) -> None:
    job: dict[str, Any] = tomllib.loads(VALID)
    table = job
    for name in above:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            return
    if last in table:
        return
    table[last] = value
    told = refusal(job)

    assert told.startswith("job: ")


@FEW
@given(data=st.data())
def test_a_damaged_file_is_taken_or_refused_with_its_name(data: st.DataObject, tmp_path_factory: Any) -> None:
    raw = bytearray(VALID.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "insert", "double"]))
        if what == "flip":
            raw[at] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del raw[at : at + data.draw(st.integers(1, 40))]
        elif what == "insert":
            raw[at:at] = data.draw(st.binary(max_size=8) | st.sampled_from([b"[[", b'"""', b"\r", b"\xff", b"{", b"="]))
        else:
            raw[at:at] = raw[at : at + 60]
        raw = raw or bytearray(b" ")
    job = tmp_path_factory.getbasetemp() / "damaged.toml"
    job.write_bytes(bytes(raw))
    told = refused(lambda: load_job(job))

    assert not told or "damaged.toml" in told


@FEW
@given(st.binary(max_size=200))
@example(b"\x00")
@example("name = 'x'".encode("utf-16"))
@example(b"\xef\xbb\xbf" * 2)
def test_bytes_are_refused_with_the_name_of_the_file(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "any.toml"
        job.write_bytes(raw)
        with pytest.raises(JobError, match=r"any\.toml"):
            load_job(job)


@FEW
@given(
    st.text(max_size=60) | st.builds(lambda key, value: f"{key}={value}", st.sampled_from(KEYS), st.text(max_size=40))
)
@example("limits.rows=" + "[" * 5_000)
@example("a" + ".a" * 1_200 + "=1")
@example("=1")
@example("limits.rows=1\nname='x'")
@example("limits=1")
@example('"".""=1')
@example("quota.pools." + '"' + "x" * 10_000 + '"=1')
@example("name=" + "9" * 10_000)
def test_a_set_of_anything_is_taken_or_refused(written: str) -> None:
    raw = tomllib.loads(VALID)
    told = refused(lambda: override(raw, written)) or refusal(raw)

    assert len(told) < 2_000 + len(written) * 12


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (VALID.encode("utf-16"), "not UTF-8"),
        (VALID.encode() + b"\x00", "not TOML"),
        (VALID.replace('name = "desk"', 'name = "desk"\nname = "twice"').encode(), "Cannot overwrite a value"),
        (VALID.encode() + b"\n[input]\n", "twice"),
        (b"x = " + b"[" * 100_000, "not TOML"),
        (b"a" + b".a" * 2_000 + b" = 1", "any.toml: tables and lists are nested"),
        (b"a = " + b"{a=" * 50_000, "not TOML"),
        (b"limits.rows = " + b"9" * 100_000, "not TOML"),
        (b"limits.max_failed = 1e999999", "limits.max_failed"),
        (b"name = 2026-02-30", "not TOML"),
        (b"", "name: required"),
        (b"name = '\x1b[31mred\x1b[0m'", "not TOML"),
        (b'name = "\\u001b[31mred"', "name = "),
        (b'"\\u001b[2J" = 1', "no such key"),
        (b'"\\u202Egnp.exe" = 1', "no such key"),
        (b'"" = 1', '""'),
    ],
)
def test_a_hostile_file_is_exit_2_and_one_clear_line(tmp_path: Path, content: bytes, told: str) -> None:
    job = tmp_path / "any.toml"
    job.write_bytes(content)
    result = invoke("run", str(job))

    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert not set(result.output) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x202E]))


@pytest.mark.parametrize("content", [VALID.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + VALID.encode()])
def test_windows_line_ends_and_a_byte_order_mark_are_no_matter(tmp_path: Path, content: bytes) -> None:
    job = tmp_path / "any.toml"
    job.write_bytes(content)

    assert load_job(job).name == "desk"


def test_a_folder_a_device_or_nothing_in_place_of_a_job_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml", tmp_path / "job.toml" / "x", Path("/dev/null"), Path("a\0b")):
        result = invoke("plan", str(path))

        assert result.exit_code == 2, (path, result.output)
        assert json.dumps(str(path)).strip('"').split("\\")[0] in result.stderr
