"""The result's columns are named in two layers: what a job may not keep, and what a part holds."""

from batchrun.jobspec import RESULT_COLUMNS
from batchrun.storage.schema import result_schema


def test_a_job_may_keep_no_column_that_a_result_has() -> None:
    to_come = {"answer"}  # structured output

    assert set(RESULT_COLUMNS) | to_come == set(result_schema([]).names) | to_come
