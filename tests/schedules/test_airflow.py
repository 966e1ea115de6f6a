"""The Airflow DAG, imported beside a stand-in for Airflow that keeps what it is told."""

import importlib.util
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.schedules.workshop import EXAMPLES, Workshop, write_script


class AirflowException(Exception): ...


class AirflowFailException(AirflowException): ...


class AirflowSkipException(AirflowException): ...


class Airflow:
    """Takes the arguments that Airflow documents for `dag` and for tasks, and runs tasks when it is asked to."""

    def __init__(self) -> None:
        self.dag_options: dict[str, Any] = {}
        self.task_options: dict[str, Any] = {}
        self.tasks: list[Callable[[], None]] = []

    def dag(
        self, *, schedule: str, start_date: datetime, catchup: bool, max_active_runs: int
    ) -> Callable[[Callable[[], None]], Callable[[], None]]:
        self.dag_options = {"schedule": schedule, "start_date": start_date, "catchup": catchup}
        self.dag_options["max_active_runs"] = max_active_runs
        return lambda function: function

    def task(self, *, retries: int, retry_delay: timedelta) -> Callable[[Callable[[], None]], Callable[[], None]]:
        self.task_options = {"retries": retries, "retry_delay": retry_delay}
        return lambda function: lambda: self.tasks.append(function)


@pytest.fixture(params=["2", "3"])
def airflow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Airflow:
    """Put Airflow 2 or 3 in the way of imports."""
    stand_in = Airflow()
    home = "airflow.sdk" if request.param == "3" else "airflow.decorators"
    contents: dict[str, dict[str, Any]] = {
        "airflow": {},
        home: {"dag": stand_in.dag, "task": stand_in.task},
        "airflow.exceptions": {
            one.__name__: one for one in (AirflowException, AirflowFailException, AirflowSkipException)
        },
    }
    for name, content in contents.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return stand_in


@pytest.fixture
def dag(airflow: Airflow) -> Any:
    """Import the example."""
    spec = importlib.util.spec_from_file_location("batchrun_dag", EXAMPLES / "airflow_dag.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return SimpleNamespace(module=module, run=airflow.tasks[0])


def ends_with(shop: Workshop, dag: Any, code: int) -> None:
    write_script(shop.command, f"exit {code}")
    dag.module.BATCHRUN = str(shop.command)
    dag.run()


def test_the_dag_runs_one_job_at_a_time(airflow: Airflow, dag: Any) -> None:
    assert airflow.dag_options["max_active_runs"] == 1
    assert airflow.dag_options["catchup"] is False
    assert airflow.dag_options["start_date"].tzinfo is not None


def test_a_stopped_job_is_retried_for_hours(airflow: Airflow, dag: Any) -> None:
    assert airflow.task_options["retries"] * airflow.task_options["retry_delay"] >= timedelta(hours=6)


def test_a_job_that_finishes_is_a_task_that_succeeds(shop: Workshop, dag: Any) -> None:
    dag.module.JOB = str(shop.job)
    write_script(shop.command, f'echo "$@" > {shop.path}/called')
    dag.module.BATCHRUN = str(shop.command)
    dag.run()

    assert (shop.path / "called").read_text() == f"run {shop.job}\n"


@pytest.mark.parametrize("code", [1, 2, 4])
def test_what_needs_a_person_fails_without_a_retry(shop: Workshop, dag: Any, code: int) -> None:
    with pytest.raises(AirflowFailException, match=f"exit {code}"):
        ends_with(shop, dag, code)


def test_exit_3_is_retried(shop: Workshop, dag: Any) -> None:
    with pytest.raises(AirflowException, match="exit 3: stopped early") as raised:
        ends_with(shop, dag, 3)

    assert raised.type is AirflowException  # neither a failure for good nor a skip


def test_a_run_that_was_killed_is_retried(shop: Workshop, dag: Any) -> None:
    write_script(shop.command, "kill -9 $$")
    dag.module.BATCHRUN = str(shop.command)
    with pytest.raises(AirflowException, match="exit -9") as raised:
        dag.run()

    assert raised.type is AirflowException


def test_exit_5_is_a_skip(shop: Workshop, dag: Any) -> None:
    with pytest.raises(AirflowSkipException, match="another run"):
        ends_with(shop, dag, 5)


def test_a_task_that_is_cleared_lets_the_run_drain_with_one_sigterm(
    shop: Workshop, dag: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, ready = shop.path / "log", shop.path / "ready"
    write_script(
        shop.command, f"trap 'echo TERM >> {log}; sleep 0.1; exit 3' TERM; : > {ready}; while :; do sleep 0.02; done"
    )
    dag.module.BATCHRUN = str(shop.command)

    class ClearedError(BaseException): ...

    def cleared(*_: object) -> None:
        if ready.exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise ClearedError

    before = signal.signal(signal.SIGALRM, cleared)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with pytest.raises(ClearedError):
            dag.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert Path(log).read_text() == "TERM\n"
