"""The result's columns are named in two layers: what a job may not keep, and what a part holds."""

from batchrun.jobspec import RESULT_COLUMNS
from batchrun.storage.schema import result_schema


def test_a_job_may_keep_no_column_that_a_result_has() -> None:
    assert sorted(RESULT_COLUMNS) == sorted(result_schema([]).names)
