"""An Airflow DAG (2.4 or newer, and 3) that runs a batchrun job every day and acts on its exit code.

CHANGE the two paths and copy this file into the folder of DAGs; batchrun needs no Airflow in its environment.
"""

import subprocess
from datetime import datetime, timedelta, timezone

from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException

try:
    from airflow.sdk import dag, task  # Airflow 3
except ImportError:
    from airflow.decorators import dag, task

BATCHRUN = "/opt/batchrun/.venv/bin/batchrun"
JOB = "/srv/jobs/classify.toml"

NEEDS_A_PERSON = {1: "too many rows are not ok", 2: "the job file or the input is wrong", 4: "credentials or storage"}
STOPPED, ELSEWHERE = 3, 5


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - Airflow may run on an older Python
    catchup=False,
    max_active_runs=1,
)
def classify():
    """Run the job; the next task would read its output."""

    @task(retries=24, retry_delay=timedelta(minutes=15))
    def run_batchrun():
        act_on(exit_code_of([BATCHRUN, "run", JOB]))

    run_batchrun()


def act_on(code):
    """Return if the job is finished; raise what Airflow retries, fails or skips by."""
    if code == 0:
        return
    if code in NEEDS_A_PERSON:
        raise AirflowFailException(f"batchrun exit {code}: {NEEDS_A_PERSON[code]}; the task's log says more")
    if code == ELSEWHERE:
        raise AirflowSkipException("batchrun exit 5: another run holds the output")
    why = "stopped early" if code == STOPPED else "ended by a signal or a crash"
    raise AirflowException(f"batchrun exit {code}: {why}; a retry goes on where it stopped")


def exit_code_of(command):
    """Run a command to its end; if the task is cleared or times out, let batchrun drain.

    It has a session of its own: Airflow may signal the whole process group, and batchrun takes a second signal for
    «at once».
    """
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise


classify()
