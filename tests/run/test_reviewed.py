"""What a hard review broke, kept from breaking again."""

from pathlib import Path
from typing import Any

import anyio
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrun.api import arun
from batchrun.emulator.service import Bedrock
from batchrun.errors import AccessError, JobError
from batchrun.readyjob import make_ready
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import job, numbered, rehearse

PLENTY = {"tpm": 100_000_000, "latency_s": 0.5}
WIDE = {"tokens_per_minute": 100_000_000}


def test_a_limit_below_what_an_earlier_start_took_on_is_kept(tmp_path: Path) -> None:
    def limited(**limits: Any) -> Any:
        return job(tmp_path, numbered(60), limits={"max_in_flight": 2, "max_failed": 0.5, **limits})

    first = rehearse(limited(deadline="1s"))
    few = rehearse(limited(rows=8), EmulatedTransport(first.bedrock, began_at_s=60))
    rest = rehearse(limited(), EmulatedTransport(first.bedrock, began_at_s=120))

    assert first.summary["rows"] < 8
    assert (few.code, few.summary["rows"]) == (3, 8)
    assert "limits.rows = 8 is reached" in few.reason
    assert (rest.code, rest.summary["rows"]) == (0, 60)
    assert rest.stats["repeated_calls"] == 0


def test_a_cell_that_python_cannot_hold_makes_its_row_unsendable(tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(20), limits={"max_failed": 0.5}, emulator=PLENTY, quota=WIDE)
    (path,) = [Path(one) for one in spec.input.path]
    table = pq.read_table(path)
    name = table.column_names[-1]
    raw = table[name].combine_chunks().cast(pa.binary()).to_pylist()
    raw[7] = b"not \xff UTF-8"
    bytes_of = pa.array(raw, pa.binary())
    broken = pa.StringArray.from_buffers(len(raw), bytes_of.buffers()[1], bytes_of.buffers()[2])
    pq.write_table(table.set_column(table.num_columns - 1, name, broken), path)

    ended = rehearse(spec)

    assert ended.code == 0
    assert ended.row(7)["status"] == "unsendable"
    assert "UnicodeDecodeError" in ended.row(7)["error_message"]
    assert ended.summary["by_status"]["unsendable"] == 1


def test_a_constant_system_prompt_that_cannot_be_rendered_is_an_error_of_the_job(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"prompt\.system: cannot be rendered, for any row"):
        make_ready(job(tmp_path, numbered(1), prompt={"system": "{{ 1 / 0 }}"}))


def test_a_macro_without_end_is_an_error_of_its_row(tmp_path: Path) -> None:
    endless = "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(text) }}"
    spec = job(tmp_path, numbered(3), prompt={"user": endless}, limits={"max_failed": 1.0})
    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"unsendable": 3}


def test_no_cell_gets_into_the_message_of_a_template_error(tmp_path: Path) -> None:
    spec = job(tmp_path, ["SECRET text"] * 3, prompt={"user": "{{ {}[text] }}"}, limits={"max_failed": 1.0})
    ended = rehearse(spec)

    assert ended.summary["by_status"] == {"unsendable": 3}
    assert "SECRET" not in str(ended.summary)


def test_success_is_gone_while_a_missing_part_is_filled_again(tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(20), emulator=PLENTY, quota=WIDE)
    first = rehearse(spec)
    success = spec.output.path / "_SUCCESS"
    seen = []

    class Watched(EmulatedTransport):
        async def send(self, inference_id, source_region, request):
            seen.append(success.exists())
            return await super().send(inference_id, source_region, request)

    next((spec.output.path / "data").glob("*.parquet")).unlink()
    again = rehearse(spec, Watched(Bedrock(spec.emulator)))

    assert first.code == again.code == 0
    assert seen
    assert not any(seen)
    assert success.exists()


def test_a_run_that_failed_too_much_before_sends_nothing_more(tmp_path: Path) -> None:
    prompts = [f"{row} [[fault=ValidationException]]" if row % 3 == 0 else f"{row}" for row in range(300)]
    spec = job(tmp_path, prompts, limits={"max_failed": 0.05, "max_in_flight": 4}, emulator=PLENTY, quota=WIDE)
    first = rehearse(spec)
    again = rehearse(spec, EmulatedTransport(first.bedrock, began_at_s=600))

    assert (first.code, again.code) == (3, 3)
    assert again.calls == 0
    assert "raise it to go on" in again.reason


def test_a_start_without_credentials_does_not_bind_the_output(tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(3), aws={"endpoint_url": None})

    with pytest.raises(AccessError, match="no AWS credentials"):
        anyio.run(arun, spec)
    assert not (spec.output.path / "manifest.json").exists()


def test_a_start_that_sends_nothing_leaves_the_summary_of_the_one_that_did(tmp_path: Path) -> None:
    spec = job(tmp_path, numbered(20), emulator=PLENTY, quota=WIDE)
    rehearse(spec)
    before = (spec.output.path / "summary.json").read_text(encoding="utf-8")
    again = rehearse(spec)

    assert (again.code, again.summary["bounded_by"]) == (0, "nothing")
    assert (spec.output.path / "summary.json").read_text(encoding="utf-8") == before
