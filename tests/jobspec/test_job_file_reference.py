"""docs/job-file.md says what the code does, and its examples are right."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from batchrun.bedrock.card import load_card
from batchrun.identity import identity_of
from batchrun.jobspec import JobSpec, keys
from tests.job_file_reference import COMMAND, FILE, IDENTITY, document, sections
from tests.jobspec.conftest import smallest

EXAMPLES = re.findall(r"^## (.*?)\n.*?(?:^```toml\n(.*?)^```|(?=^## )|\Z)", document(), re.DOTALL | re.MULTILINE)
WITH_EXAMPLE = [(heading, example) for heading, example in EXAMPLES if example]


def test_the_committed_reference_is_what_the_code_says() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), f"the job file's keys have changed: {COMMAND}"


def test_the_reference_names_every_key() -> None:
    written = document()
    rows = {name.replace('."NAME".', ".*.") for name in re.findall(r"^\| (\S+) \|", written, re.MULTILINE)}

    assert [key.name for key in keys() if key.name.partition(".")[2] not in rows and key.name not in rows] == []


def test_every_row_of_the_reference_has_a_meaning() -> None:
    assert re.findall(r"^\| \S+ \| [^|]* \| *(?:\(.*\))? \|$", document(), re.MULTILINE) == []


def test_every_list_of_tables_has_a_table_of_its_own() -> None:
    lists = set(re.findall(r"(\[\[[a-z.]+\]\]) tables", document()))

    assert lists == {section.heading.split(" type")[0] for section in sections() if section.heading.startswith("[[")}


@pytest.mark.parametrize(("heading", "example"), WITH_EXAMPLE, ids=[heading for heading, _ in WITH_EXAMPLE])
def test_an_example_of_the_reference_loads(heading: str, example: str, tmp_path: Path) -> None:
    job = over(smallest() | {"output": {"path": "out/reviews"}}, tomllib.loads(example))
    spec = JobSpec.from_mapping(job, base=tmp_path)

    if spec.emulator is not None:
        spec.emulator.check_pools(load_card(spec.model.card))


def test_every_key_with_names_below_it_has_an_example() -> None:
    with_names = {
        heading
        for heading, rows in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", document(), re.DOTALL | re.MULTILINE)
        if re.search(r'^\| (\S+\."NAME"|storage_options|\S+ \| \{\}|type )', rows, re.MULTILINE)
    }

    assert with_names <= {heading for heading, _ in WITH_EXAMPLE}


def test_the_reference_names_what_an_output_belongs_to() -> None:
    job = smallest() | {"prompt": {"user": "{{ text }}", "images": ["photo"], "tools": [TOOL]}}
    job["generation"] = {"max_tokens": 4096, "thinking_budget_tokens": 1024, "keep_thinking": True}
    told = identity_of(JobSpec.from_mapping(job), load_card("claude-haiku-4-5"), emulated=False).keys() - {"answers"}

    assert {name if name in IDENTITY else f"{name.partition('.')[0]}.*" for name in told} == set(IDENTITY)


TOOL = {"name": "look_up", "input_schema": {"type": "object"}}


def over(job: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return `job` with the keys of `more` over its own, table by table."""
    tables = {name: over(job[name], table) for name, table in more.items() if isinstance(job.get(name), dict)}
    return {**job, **more, **tables}
