"""[[sink]] tables: what is checked before anything is sent."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from batchrun.errors import JobError
from batchrun.jobspec import JobSpec
from batchrun.jobspec import sinks as sink_tables
from tests.jobspec.conftest import smallest
from tests.refusal import refusal_of
from tests.sinks.plugged import BoxTable, install

Build = Callable[..., JobSpec]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Check the smallest job with some sinks."""
    return lambda *sinks: JobSpec.from_mapping({**smallest(), "sink": list(sinks)}, base=tmp_path, source="x.toml")


@pytest.fixture
def refusal(build: Build) -> Callable[..., list[str]]:
    """Return the lines that refuse the smallest job with some sinks."""
    return lambda *sinks: refusal_of(JobError, build, *sinks).splitlines()


def test_paths_belong_to_the_job_files_folder(build, tmp_path):
    lines, table, cloud = build(
        {"type": "jsonl", "path": "lines"},
        {"type": "delta", "path": "table"},
        {"type": "delta", "path": "s3://bucket/table", "storage_options": {"AWS_REGION": "eu-west-1"}},
    ).sink

    assert (lines.path, table.path, cloud.path) == (tmp_path / "lines", str(tmp_path / "table"), "s3://bucket/table")


def test_messages_name_a_sink_by_type_and_target_or_as_the_job_says(build, tmp_path):
    first, second = build({"type": "jsonl", "path": "a"}, {"type": "jsonl", "path": "b", "name": "archive"}).sink

    assert (first.label, second.label) == (f"jsonl ({tmp_path / 'a'})", "archive")


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        ({"type": "jsonl"}, 'sink[0].path: required, for example path = "out/reviews-jsonl"'),
        ({"type": "jsonl", "pth": "a", "path": "b"}, "sink[0].pth: no such key; did you mean sink[0].path?"),
        ({"type": "jsonl", "path": 3}, "sink[0].path = 3: must be a string"),
        (
            {"type": "jsonl", "path": "a", "compression": "lz4"},
            'sink[0].compression = "lz4": must be "none", "gzip" or "zstd"',
        ),
        ({"path": "a"}, 'sink[0].type: required, for example type = "jsonl"'),
        ({"type": 3}, "sink[0].type = 3: must be a string"),
        (
            {"type": "postgres", "table": "a b"},
            'sink[0].table = "a b": must be a name of at most 48 letters, digits and _, no digit first, '
            'or "schema.table"',
        ),
        (
            {"type": "postgres", "table": "a", "dsn": "host=h", "dsn_env": "A"},
            'sink[0].dsn_env = "A": give dsn or dsn_env, not both',
        ),
        (
            {"type": "postgres", "table": "a", "dsn_env": "A=B"},
            'sink[0].dsn_env = "A=B": must be the name of an environment variable',
        ),
        (
            {"type": "delta", "path": "gs://bucket/x"},
            'sink[0].path = "gs://bucket/x": must be a local path, not gs://',
        ),
    ],
    ids=str,
)
def test_a_wrong_table_is_named_by_its_place(refusal, sink, said):
    assert refusal(sink) == [f"x.toml: {said}"]


def test_a_wrong_type_is_told_which_there_are(refusal):
    [line] = refusal({"type": "jsnl", "path": "a"})

    assert line.startswith('x.toml: sink[0].type = "jsnl": no such sink: there are "jsonl", "delta", "postgres"')
    assert line.endswith('did you mean "jsonl"?')


@pytest.mark.parametrize("value", [{"type": "jsonl", "path": "a"}, "jsonl", ["jsonl"]], ids=str)
def test_a_sink_that_is_no_list_of_tables_is_told_how_to_write_it(tmp_path, value):
    with pytest.raises(JobError) as caught:
        JobSpec.from_mapping({**smallest(), "sink": value}, base=tmp_path, source="x.toml")

    assert str(caught.value) == "x.toml: sink: must be a list of tables: write [[sink]]"


@pytest.mark.parametrize(
    "dsn",
    [
        "host=h password=hidden",
        "postgresql://ann:hidden@h/db",
        "postgresql://h/db?password=hidden",
        "sslpassword = hidden",
    ],
)
def test_a_password_in_a_connection_string_is_refused_and_not_shown(refusal, dsn):
    [line] = refusal({"type": "postgres", "table": "a", "dsn": dsn})

    assert line.startswith("x.toml: sink[0].dsn = (not shown): must hold no password")
    assert "hidden" not in line


@pytest.mark.parametrize("dsn", ["postgresql://ann@h/db", "host=h user=ann dbname=passwords", "postgresql://ann:@h/db"])
def test_a_connection_string_without_a_password_is_taken(build, dsn):
    assert build({"type": "postgres", "table": "a", "dsn": dsn}).sink[0].dsn == dsn


@pytest.mark.parametrize(
    ("sink", "key"),
    [
        ({"type": "postgres", "table": "a", "password": "hidden"}, "password"),
        (
            {"type": "delta", "path": "s3://b/x", "storage_options": {"AWS_SECRET_ACCESS_KEY": "hidden"}},
            "storage_options",
        ),
    ],
    ids=["postgres", "delta"],
)
def test_credentials_are_refused_and_not_shown(refusal, sink, key):
    [line] = refusal(sink)

    assert line.startswith(f"x.toml: sink[0].{key}: credentials are not put in job files")
    assert "hidden" not in line


@pytest.mark.parametrize("path", ["out", "out/data", ".", "data/lines"])
def test_a_sink_lies_outside_the_output_and_the_input(refusal, path):
    [line] = refusal({"type": "jsonl", "path": path})

    assert line.startswith("x.toml: sink[0]: jsonl (")
    assert "must not be, hold or lie in the" in line


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"type": "jsonl", "path": "a"}, {"type": "jsonl", "path": "./a", "name": "other"}),
        ({"type": "jsonl", "path": "a"}, {"type": "delta", "path": "a/b"}),
        ({"type": "delta", "path": "s3://b/x"}, {"type": "delta", "path": "s3://b/x", "name": "other"}),
        ({"type": "postgres", "table": "a", "dsn": "host=h"}, {"type": "postgres", "table": "a", "dsn": "host=h"}),
    ],
    ids=["folder", "folder in folder", "url", "table"],
)
def test_two_sinks_onto_one_target_are_refused(refusal, first, second):
    [line] = refusal(first, second)

    assert line.startswith("x.toml: sink[1]: goes where sink[0] goes: ")


def test_two_sinks_need_two_names(refusal):
    [line] = refusal(
        {"type": "postgres", "table": "a", "dsn": "host=one"}, {"type": "postgres", "table": "a", "dsn": "host=two"}
    )

    assert line == 'x.toml: sink[1].name: sink[0] is named "postgres (a)" too; give each a name of its own'


@pytest.mark.parametrize(("kind", "library"), [("delta", "deltalake"), ("postgres", "psycopg")])
def test_a_missing_extra_is_said_with_what_installs_it(refusal, monkeypatch, kind, library):
    monkeypatch.setattr(sink_tables, "find_spec", lambda name: None if name == library else find_spec(name))

    assert refusal({"type": kind, ("path" if kind == "delta" else "table"): "a"}) == [
        f"""x.toml: sink[0]: type = "{kind}" needs the extra: pip install 'batchrun[{kind}]'"""
    ]


class TestPlugIns:
    @pytest.fixture(autouse=True)
    def _plug_in(self, tmp_path_factory, monkeypatch):
        install(tmp_path_factory.mktemp("site"), monkeypatch)

    def test_the_keys_of_a_plug_in_are_its_own(self, build):
        [sink] = build({"type": "box", "box": "red", "depth": 2}).sink

        assert sink == BoxTable(type="box", box="red", depth=2)

    @pytest.mark.parametrize(
        ("sink", "said"),
        [
            ({"type": "box"}, "sink[0].box: required"),
            ({"type": "box", "box": "red", "dept": 1}, "sink[0].dept: no such key; did you mean sink[0].depth?"),
            (
                {"type": "box", "box": "red", "depth": "2"},
                'sink[0].depth = "2": must be a whole number, without quotes',
            ),
        ],
        ids=["missing", "misspelt", "of another type"],
    )
    def test_they_are_checked_as_strictly_as_ours(self, refusal, sink, said):
        assert refusal(sink) == [f"x.toml: {said}"]

    @pytest.mark.parametrize("name", ["broken", "none"])
    def test_a_plug_in_that_cannot_be_used_is_named(self, refusal, name):
        [line] = refusal({"type": name})

        assert line.startswith(f'x.toml: sink[0].type = "{name}": the plug-in tests.sinks')
        assert "cannot be used: AttributeError" in line

    def test_a_misspelt_plug_in_is_found(self, refusal):
        [line] = refusal({"type": "bix"})

        assert line.endswith('did you mean "box"?')
