"""A job file as it lies on disk, and keys set on the command line."""

import datetime

import pytest

from batchrun.errors import JobError
from batchrun.jobspec import load_job
from batchrun.jobspec.overrides import parsed
from tests.refusal import refusal_of


def refused(path, *overrides):
    return refusal_of(JobError, load_job, path, overrides).splitlines()


def test_a_mistake_in_the_toml_is_placed(job_file):
    path = job_file("limits.rows = \n")

    assert refused(path) == [f"{path}:7:15: not TOML: Invalid value"]


def test_a_key_given_twice_is_refused(job_file):
    path = job_file('name = "again"\n')

    [line] = refused(path)

    assert line.startswith(f"{path}:7:")
    assert "Cannot overwrite a value" in line


@pytest.mark.parametrize("text", ["limits.rows = " + "9" * 5_000, "x = " + "[" * 100_000])
def test_toml_beyond_python_is_refused_without_a_traceback(job_file, text):
    path = job_file(text)

    [line] = refused(path)

    assert line.startswith(f"{path}")


def test_a_job_file_that_is_not_there_is_named(tmp_path):
    assert refused(tmp_path / "x.toml") == [f"job file: no such file: {tmp_path}/x.toml"]


def test_a_folder_is_no_job_file(tmp_path):
    assert refused(tmp_path) == [f"job file: is a folder, not a file: {tmp_path}"]


def test_a_job_file_in_another_encoding_is_refused_with_the_byte(tmp_path):
    (tmp_path / "x.toml").write_bytes('name = "é"'.encode("latin-1"))

    assert refused(tmp_path / "x.toml") == [f"job file: {tmp_path}/x.toml is not UTF-8: byte 8 is 0xe9"]


def test_a_job_file_that_cannot_be_read_is_named_with_the_systems_reason(job_file):
    path = job_file() / "below"

    assert refused(path) == [f"job file: cannot read {path}: Not a directory"]


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(job_file):
    path = job_file()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))

    assert load_job(path).name == "reviews"


def test_problems_are_listed_under_the_name_of_the_file(job_file):
    path = job_file("[limits]\nrows = 0\n[retry]\nbudget = 2\n")

    assert refused(path) == [f"{path}: retry.budget = 2: must be ≤ 1.0", f"{path}: limits.rows = 0: must be ≥ 1"]


def test_set_changes_and_adds_keys(job_file):
    spec = load_job(
        job_file(),
        [
            "generation.max_tokens=5",
            "limits.deadline=2h",
            "limits.max_failed = 0.5",
            'routing.scopes=["eu"]',
            'quota.pools."eu-west-1/geo".tokens_per_minute=5',
            "quota.pools.'eu-west-1/geo'.requests_per_minute=6",
            "aws.endpoint_url=emulator",
            "emulator.tpm=7",
            "prices.date=2026-11-01",
        ],
    )

    assert (spec.generation.max_tokens, spec.limits.deadline, spec.limits.max_failed) == (5, 7_200.0, 0.5)
    assert spec.routing.scopes == ("eu",)
    pool = spec.quota.pools["eu-west-1/geo"]
    assert (pool.tokens_per_minute, pool.requests_per_minute, pool.tokens_per_day) == (5, 6, None)
    assert (spec.aws.endpoint_url, spec.emulator.tpm) == ("emulator", 7)
    assert spec.prices.date == datetime.date(2026, 11, 1)


def test_the_last_set_of_a_key_holds(job_file):
    assert load_job(job_file(), ["limits.rows=1", "limits.rows=2"]).limits.rows == 2


def test_set_paths_belong_to_the_job_file_too(job_file, tmp_path):
    assert load_job(job_file(), ["output.path=elsewhere"]).output.path == tmp_path / "jobs" / "elsewhere"


@pytest.mark.parametrize(
    ("written", "path", "value"),
    [
        ("a=1", ("a",), 1),
        ("a.b = 1.5", ("a", "b"), 1.5),
        ("a=true", ("a",), True),
        ('a="1"', ("a",), "1"),
        ("a=text", ("a",), "text"),
        ("a=two words", ("a",), "two words"),
        ("a=", ("a",), ""),
        ("a=b=c", ("a",), "b=c"),
        ("a=[1, 2]", ("a",), [1, 2]),
        ("a={b = 1}", ("a",), {"b": 1}),
        ("a=2026-11-01", ("a",), datetime.date(2026, 11, 1)),
        ("a=1\nb=2", ("a",), "1\nb=2"),
        ("a=arn:aws:iam::1:role/x", ("a",), "arn:aws:iam::1:role/x"),
        ('a."b.c=d/é".e=1', ("a", "b.c=d/é", "e"), 1),
        ("a.'b/c' . d=1", ("a", "b/c", "d"), 1),
        ('"q\\"q"=1', ('q"q',), 1),
    ],
)
def test_set_reads_a_toml_key_and_a_toml_value_or_else_a_string(written, path, value):
    assert parsed(written) == (path, value)


@pytest.mark.parametrize("written", ["", "a", "=1", "a..b=1", "a b=1", "us-east-1/geo=1", 'a."b=1'])
def test_a_set_that_is_not_key_and_value_is_refused(written):
    with pytest.raises(JobError, match=r"^--set .*: must be KEY=VALUE, with quotes around a part"):
        parsed(written)


def test_a_set_below_what_is_no_table_is_refused(job_file):
    assert refused(job_file(), "generation.max_tokens.x.y=1", "oops") == [
        "--set generation.max_tokens.x.y: generation.max_tokens is not a table",
        (
            "--set oops: must be KEY=VALUE, with quotes around a part of the key that has other characters than"
            ' letters, digits, - and _, such as quota.pools."us-east-1/geo".tokens_per_minute=100000'
        ),
    ]


def test_a_problem_that_came_with_set_says_so(job_file):
    path = job_file("limits.rows = 0\n")

    assert refused(path, "retry.budget=2", "nme=x") == [
        f"{path}: retry.budget = 2: must be ≤ 1.0 (from --set)",
        f"{path}: limits.rows = 0: must be ≥ 1",
        f"{path}: nme: no such key; did you mean name? (from --set)",
    ]


def test_the_callers_mapping_stays_as_it_was(build):
    storage = {}
    build(**{"input.storage_options": storage, "quota.discover": False})

    assert storage == {}
