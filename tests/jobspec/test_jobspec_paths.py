"""Paths belong to the job file's folder, and results never become input."""

import os
import pickle
from pathlib import Path

import pytest

from batchrun.jobspec import JobSpec, load_job
from batchrun.jobspec.paths import overlap


def test_relative_paths_belong_to_the_job_file_wherever_one_stands(job_file, tmp_path, monkeypatch):
    path = job_file('model.card = "cards/own.toml"')
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)

    for named in (path, Path("../jobs/x.toml"), "../jobs/x.toml"):
        spec = load_job(named)

        assert spec.input.path == (f"{tmp_path}/jobs/data",)
        assert spec.output.path == tmp_path / "jobs" / "out"
        assert spec.model.card == f"{tmp_path}/jobs/cards/own.toml"
        assert Path(os.path.normpath(spec.base)) == tmp_path / "jobs"


def test_relative_paths_of_a_job_built_in_python_belong_to_the_cwd(build, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    spec = JobSpec.from_mapping(build().model_dump(exclude_none=True))

    assert spec.base == tmp_path
    assert spec == build()


def test_a_shipped_card_is_a_name_and_not_a_path(build):
    assert build(**{"model.card": "claude-haiku-4-5"}).model.card == "claude-haiku-4-5"


def test_paths_are_tidied_and_absolute_ones_kept(build, tmp_path):
    spec = build(**{"input.path": ["../a/./b/*.parquet", "/abs/x"], "output.path": "./c/../d"})

    assert spec.input.path == (f"{tmp_path.parent}/a/b/*.parquet", "/abs/x")
    assert spec.output.path == tmp_path / "d"


def test_a_link_on_the_way_up_is_not_cut_out(build, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")

    [path] = build(**{"input.path": "link/../data"}).input.path

    assert os.path.realpath(path) == f"{tmp_path}/far/data"


def test_the_tilde_is_the_users_home(build, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert build(**{"input.path": ["~/data", "~x/data"]}).input.path == (
        f"{tmp_path}/home/data",
        f"{tmp_path}/~x/data",
    )


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ("data", "data"),
        ("data", "data/out"),
        ("out/data", "out"),
        ("data/*.parquet", "data/x.parquet"),
        ("data/**/*.parquet", "data/out"),
        ("data/*", "data/out"),
        ("*/*.parquet", "out"),
        ("out/data/*.parquet", "out"),
        ("x/../data", "data/out"),
        ("data", "."),
    ],
)
def test_an_output_that_would_be_read_as_input_is_refused(refusal, tmp_path, read, written):
    path = os.path.normpath(tmp_path / read)

    assert refusal(**{"input.path": read, "output.path": written}) == [
        f'x.toml: output.path = "{written}": must not be, hold or lie in the input {path}'
    ]


@pytest.mark.parametrize(
    ("read", "written"),
    [("data", "data2"), ("data/*.parquet", "data/out"), ("data/2026-*/*", "data/out"), ("data/in", "data/out")],
)
def test_an_output_beside_the_input_is_accepted(build, read, written):
    build(**{"input.path": read, "output.path": written})


def test_an_output_is_the_input_also_behind_a_link(refusal, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")

    assert refusal(**{"output.path": "link/out"}) == [
        f'x.toml: output.path = "link/out": must not be, hold or lie in the input {tmp_path}/data'
    ]


def test_the_same_input_twice_is_refused(refusal, tmp_path):
    assert refusal(**{"input.path": ["data", "./data"]}) == [
        f'x.toml: input.path = ["data", "./data"]: names {tmp_path}/data more than once'
    ]


def test_a_job_travels_to_another_process_whole(build):
    spec = build(**{"prompt.system": "Be brief.", "limits.deadline": "2h"})

    there = pickle.loads(pickle.dumps(spec))

    assert (there, there.base) == (spec, spec.base)


def test_input_may_lie_in_a_store_beside_local_files(build, tmp_path):
    spec = build(**{"input.path": ["S3://my-bucket/a/*.parquet", "data", "s3://my-bucket"]})

    assert spec.input.path == ("s3://my-bucket/a/*.parquet", f"{tmp_path}/data", "s3://my-bucket")


def test_the_path_of_an_object_is_taken_as_it_is(build):
    assert build(**{"input.path": "s3://my-bucket/a//./x y?#%20/é.csv"}).input.path == (
        "s3://my-bucket/a//./x y?#%20/é.csv",
    )


@pytest.mark.parametrize("path", ["s3://", "s3:///reviews", "s3://My_Bucket/x", "s3://*/x", "s3://user:pw@bucket/x"])
def test_a_url_without_a_bucket_is_refused(refusal, path):
    [line] = refusal(**{"input.path": path})

    assert 's3:// takes a bucket and a path, such as "s3://my-bucket/reviews"; ' in line


@pytest.mark.parametrize("path", ["gs://bucket/x", "https://host/x.parquet", "hdfs://x"])
def test_another_kind_of_url_is_no_input(refusal, path):
    [line] = refusal(**{"input.path": path})

    assert line.endswith(f"must be a local path or s3://, not {path.split(':')[0]}://")


def test_a_folder_beside_a_store_never_overlaps_with_it(build):
    build(**{"input.path": "s3://my-bucket/**", "output.path": "my-bucket/x"})


@pytest.mark.parametrize(
    ("read", "written", "overlaps"),
    [
        ("s3://b-1/rows", "s3://b-1/rows/out", True),
        ("s3://b-1/rows/*.parquet", "s3://b-1/rows/out", False),
        ("s3://b-1/**/*.parquet", "s3://b-1/rows/", True),
        ("s3://b-1", "s3://b-1/out", True),
        ("s3://b-1/rows", "s3://b-2/rows", False),
        ("s3://b-1/rows/", "s3://b-1/rows2", False),
        ("s3://b-1/out/data/*.parquet", "s3://b-1/out", True),
        ("/b-1/rows", "s3://b-1/rows", False),
    ],
)
def test_results_in_a_store_never_become_input(read, written, overlaps):
    assert overlap(written, read) is overlaps


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("endpoint", "minio:9000", 'must be the URL of a store, such as "https://minio.example.org:9000"'),
        ("endpoint", "s3://bucket", "must be the URL of a store"),
        ("endpoint", "http://a:b@host", "must hold no user name and no password"),
        ("endpoint", "http://host/bucket", "must end after the host and port"),
        ("endpoint", "http://host:99999", "must be the URL of a store"),
        ("region", "", "must not be empty"),
        ("profil", "x", "no such key; did you mean input.storage_options.profile?"),
        ("aws_secret_access_key", "x", "credentials are not put in job files"),
    ],
)
def test_what_cannot_reach_a_store_is_refused(refusal, key, value, words):
    [line] = refusal(**{f"input.storage_options.{key}": value})

    assert line.startswith(f"x.toml: input.storage_options.{key}")
    assert words in line
