"""What an output belongs to, and what may change between two starts: a test for each key of either kind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.errors import InputError
from batchrun.jobspec import JobSpec
from tests.run.rehearsal import Rehearsal, job_over, rehearse

CARD = Path(__file__).parents[2] / "batchrun" / "bedrock" / "cards" / "claude-haiku-4-5.toml"


def write(path: Path, rows: range) -> None:
    path.parent.mkdir(exist_ok=True)
    numbers = list(rows)
    turns = [[{"role": "user", "content": f"{number} [[output_tokens=9]]"}] for number in numbers]
    columns = {
        "text": [f"{number} [[output_tokens=9]]" for number in numbers],
        "label": [f"r{n}" for n in numbers],
        "n": numbers,
    }
    pq.write_table(pa.table({**columns, "turns": turns}), path)


@pytest.fixture
def begun(tmp_path) -> Callable[..., Rehearsal]:
    """Start a job over ten rows and stop it after four, with changes to its tables."""
    write(tmp_path / "rows" / "a.parquet", range(10))

    def begin(**changes) -> Rehearsal:
        return rehearse(job_over(tmp_path, "rows", **{**changes, "limits": {"rows": 4, **changes.get("limits", {})}}))

    return begin


def changed(begun: Rehearsal, **changes) -> JobSpec:
    """Return the job of a run, over all its rows, with changes to its tables."""
    return job_over(begun.spec.base, "rows", **changes)


def refused(first: Rehearsal, second: JobSpec) -> str:
    """Start a second run that must be refused before anything is sent; return why."""
    with pytest.raises(InputError) as refusal:
        rehearse(second, first.transport)
    assert first.calls == 4
    assert first.succeeded  # the output is as it was
    return str(refusal.value)


OTHERWISE = {
    "input.id": {"input": {"path": "rows", "id": "label"}},
    "input.keep": {"input": {"path": "rows", "keep": ["n"]}},
    "prompt.system": {"prompt": {"user": "{{ text }}", "system": "Be brief."}},
    "prompt.user": {"prompt": {"user": "{{ text }}!"}},
    "prompt.prefill": {"prompt": {"user": "{{ text }}", "prefill": "It is"}},
    "prompt.messages": {"prompt": {"user": None, "messages": "turns"}},
    "generation.max_tokens": {"generation": {"max_tokens": 201}},
    "generation.temperature": {"generation": {"temperature": 0.5}},
    "generation.top_p": {"generation": {"top_p": 0.5}},
    "generation.stop_sequences": {"generation": {"stop_sequences": ["END"]}},
    "output.rows_per_part": {"output": {"rows_per_part": 3}},
}


@pytest.mark.parametrize("key", OTHERWISE)
def test_a_run_that_differs_in_what_the_output_belongs_to_is_refused_by_the_key(begun, key):
    first = begun()

    why = refused(first, changed(first, **OTHERWISE[key]))

    assert key in why
    assert "--fresh" in why


def test_another_model_card_is_refused(begun, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(CARD.read_text().replace('name = "claude-haiku-4-5"', 'name = "another"', 1))
    first = begun()

    assert "model.card" in refused(first, changed(first, model={"card": "./own.toml"}))


def test_results_of_an_emulator_are_never_extended_by_a_real_run(begun):
    first = begun()

    assert "answers" in refused(first, changed(first, aws={"endpoint_url": None}))


def test_a_changed_input_file_is_refused(begun, tmp_path):
    first = begun()
    write(tmp_path / "rows" / "a.parquet", range(1, 11))

    why = refused(first, changed(first))

    assert "a.parquet: changed" in why


def test_a_missing_input_file_is_refused(begun, tmp_path):
    write(tmp_path / "rows" / "b.parquet", range(5))
    first = begun()
    (tmp_path / "rows" / "b.parquet").unlink()

    assert "b.parquet: missing" in refused(first, changed(first))


def test_an_input_file_that_was_only_touched_is_the_same(begun, tmp_path):
    first = begun()
    write(tmp_path / "rows" / "a.parquet", range(10))
    shutil.copystat(CARD, tmp_path / "rows" / "a.parquet")

    assert rehearse(changed(first), first.transport).code == 0


MAY_CHANGE = {
    "name": {"name": "another"},
    "quota": {"quota": {"tokens_per_minute": 30_000, "requests_per_minute": 500}},
    "quota.pools": {"quota": {"pools": {"us-east-1/geo": {"tokens_per_minute": 20_000}}}},
    "quota.global_pool": {"quota": {"global_pool": "shared"}},
    "routing.scopes": {"routing": {"scopes": ["us", "global"]}},
    "routing.source_regions": {"routing": {"source_regions": ["us-west-2"]}},
    "limits": {"limits": {"max_cost_usd": 5, "deadline": "1h", "drain": "5s", "max_failed": 1, "max_in_flight": 3}},
    "retry": {"retry": {"max_attempts": 2, "budget": 0.5}},
    "prices": {"prices": {"geo": {"input": 0.5}, "date": "2026-11-01"}},
    "model.api": {"model": {"api": "converse"}},
    "emulator": {"emulator": {"window": "fixed", "rtt_ms": 10, "seed": 3}},
}


@pytest.mark.parametrize("key", MAY_CHANGE)
def test_what_does_not_change_the_rows_may_change_between_two_starts(begun, key):
    first = begun()
    second = rehearse(changed(first, **MAY_CHANGE[key]))

    assert second.code == 0
    assert second.summary["resumed"] == 4
    assert [row["row"] for row in second.rows()] == list(range(10))


def test_another_endpoint_on_this_machine_may_go_on(begun):
    first = begun()
    second = rehearse(changed(first, aws={"endpoint_url": "http://127.0.0.1:9/{region}"}), first.transport)

    assert second.code == 0
    assert second.summary["emulated"]


def test_a_tightened_residency_is_refused_if_rows_may_have_run_outside(begun):
    first = begun(routing={"scopes": ["us"], "source_regions": ["ca-central-1"]})
    tightened = {"scopes": ["us"], "source_regions": ["us-east-1"], "residency": "us"}

    why = refused(first, changed(first, routing=tightened))

    assert "routing.residency" in why
    assert "ca-central-1" in why


def test_a_residency_that_holds_for_what_was_done_may_be_added(begun):
    first = begun()
    second = rehearse(changed(first, routing={"residency": "us"}), first.transport)

    assert second.code == 0


def test_fresh_moves_the_old_output_aside_and_deletes_nothing(begun, tmp_path):
    first = begun()
    rows = first.rows()
    second = rehearse(changed(first, prompt={"user": "{{ text }}?"}), fresh=True)
    (aside,) = [entry for entry in tmp_path.iterdir() if entry.name.startswith("out.old-")]

    assert second.code == 0
    assert second.summary["resumed"] == 0
    assert len(second.rows()) == 10
    assert pq.read_table(aside / "data").to_pylist() == rows
    assert (aside / "_SUCCESS").exists()
    assert (aside / "manifest.json").exists()


def test_fresh_without_an_old_output_is_an_ordinary_start(begun, tmp_path):
    begun()
    spec = job_over(tmp_path, "rows", output={"path": "elsewhere"})

    assert rehearse(spec, fresh=True).code == 0
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith("elsewhere.old-")]
