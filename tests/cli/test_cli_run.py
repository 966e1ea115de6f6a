"""run: its exit codes, what goes to stdout and what to stderr, and its options."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import Result

from batchrun.storage.lock import FolderLock
from tests.cli.desk import FISH, JOB, NOBODY_LISTENS, SLOW, Desk, invoke, lay, told

CONTRACT = {
    *("exit_code", "reason", "rows", "by_status", "usd", "tokens", "wall_s", "lanes"),
    *("faults", "examples", "bounded_by", "resumed"),
}


class Endings:
    """A run that ends with each exit code."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def end(self, exit_code: int, *options: str) -> Result:
        """Run a job that ends with `exit_code`."""
        match exit_code:
            case 1:
                return lay(self._folder, ["[[stop_reason=refusal]]", *FISH[:1]]).on_job("run", *options)
            case 2:
                return lay(self._folder).on_job("run", "--set", "generation.max_tokens=0", *options)
            case 3:
                return lay(self._folder).on_job("run", *SLOW, *options)
            case 4:
                desk = lay(self._folder, job=JOB + NOBODY_LISTENS)
                return desk.on_job("run", "--set", "aws.profile=no-such-profile", *options)
            case 5:
                desk = lay(self._folder)
                desk.folder.make()
                self._stack.enter_context(FolderLock(desk.folder.lock))
                return desk.on_job("run", *options)
        return lay(self._folder).on_job("run", *options)


@pytest.fixture
def endings(tmp_path: Path) -> Iterator[Endings]:
    with ExitStack() as stack:
        yield Endings(tmp_path, stack)


REASONS = {
    0: "finished",
    1: "1 of 2 rows are not ok",
    2: "max_tokens",
    3: "limits.deadline",
    4: "no-such-profile",
    5: "another run holds this output",
}


@pytest.mark.parametrize("exit_code", REASONS)
def test_a_run_says_how_it_ended_by_its_exit_code(endings: Endings, exit_code: int) -> None:
    assert endings.end(exit_code).exit_code == exit_code


@pytest.mark.parametrize("exit_code", REASONS)
def test_json_is_one_object_with_the_keys_of_the_contract_however_a_run_ends(endings: Endings, exit_code: int) -> None:
    summary = told(endings.end(exit_code, "--json"))

    assert summary.keys() >= CONTRACT
    assert summary["exit_code"] == exit_code
    assert summary["tokens"].keys() == {"input", "output", "cache_read", "cache_write"}


@pytest.mark.parametrize("exit_code", [2, 3, 4, 5])
def test_json_has_the_keys_of_a_finished_run_where_one_could_not_start(endings: Endings, exit_code: int) -> None:
    stopped = told(endings.end(exit_code, "--json", "--set", "output.path=stopped"))

    assert stopped.keys() == told(endings.end(0, "--json")).keys()


@pytest.mark.parametrize("exit_code", REASONS)
def test_the_reason_tells_what_ended_a_run(endings: Endings, exit_code: int) -> None:
    assert REASONS[exit_code] in told(endings.end(exit_code, "--json"))["reason"]


@pytest.mark.parametrize("exit_code", [2, 4, 5])
def test_why_a_run_cannot_start_is_a_message_on_stderr_and_no_text(endings: Endings, exit_code: int) -> None:
    result = endings.end(exit_code)

    assert result.stdout == ""
    assert result.stderr.startswith("batchrun: ")
    assert REASONS[exit_code] in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("exit_code", [0, 1, 3])
def test_the_summary_is_text_on_stdout(endings: Endings, exit_code: int) -> None:
    result = endings.end(exit_code, "--quiet")

    assert REASONS[exit_code] in result.stdout
    assert f"(exit {exit_code})" in result.stdout
    assert result.stderr == ""


def test_auto_learns_and_says_so(desk: Desk) -> None:
    auto = ("--set", "generation.max_tokens=auto", "--set", "generation.max_tokens_ceiling=4096")
    result = desk.on_job("run", *auto)

    assert result.exit_code == 0
    assert "max_tokens learnt: 512, at most 4,096; 0 rows (0.0 %) sent again" in result.stdout

    again = told(desk.on_job("run", "--json", *auto))  # nothing is left to send
    assert again.keys() >= {*CONTRACT, "max_tokens", "estimates"}
    assert (again["max_tokens"]["set"], again["max_tokens"]["learnt"]) == ("auto", None)


def test_a_cost_cap_below_one_call_stops_the_run_resumably(desk: Desk) -> None:
    summary = told(desk.on_job("run", "--json", "--set", "limits.max_cost_usd=0.0000001"))

    assert summary["exit_code"] == 3
    assert "limits.max_cost_usd" in summary["reason"]
    assert summary["usd"] == 0


def test_a_stopped_run_is_gone_on_with_by_the_same_command(desk: Desk) -> None:
    desk.on_job("run", *SLOW)
    summary = told(desk.on_job("run", "--json"))

    assert (summary["exit_code"], summary["rows"]) == (0, 5)
    assert [row["row"] for row in desk.rows()] == [0, 1, 2, 3, 4]


def test_a_finished_run_says_its_sums_and_lanes(desk: Desk) -> None:
    summary = told(desk.on_job("run", "--json"))
    (lane,) = summary["lanes"]

    assert (summary["rows"], summary["by_status"], summary["tokens"]["output"]) == (5, {"ok": 5}, 10)
    assert (lane["pool"], lane["source_region"], lane["calls"], lane["ok"]) == ("us-east-1/geo", "us-east-1", 5, 5)
    assert {"inference_id", "throttled", "faults", "quota_used"} < lane.keys()


def test_progress_goes_to_stderr(desk: Desk) -> None:
    result = desk.on_job("run", "--json")

    assert "/5 rows" in result.stderr
    assert told(result)["rows"] == 5


def test_quiet_means_no_progress(desk: Desk) -> None:
    assert desk.on_job("run", "--quiet").stderr == ""


def test_limit_takes_the_first_rows(desk: Desk) -> None:
    desk.on_job("run", "--limit", "3")

    assert [row["id"] for row in desk.rows()] == ["id-0", "id-1", "id-2"]


def test_set_takes_any_key_over_the_file(desk: Desk) -> None:
    desk.on_job("run", "--set", "output.path=elsewhere", "--set", "generation.max_tokens=1")

    assert desk.folder.path.exists() is False
    assert told(desk.on_job("status", "--json", "--set", "output.path=elsewhere"))["by_status"] == {"truncated": 5}


def test_fresh_moves_the_old_output_aside_and_sends_all_rows_again(desk: Desk) -> None:
    desk.on_job("run")
    summary = told(desk.on_job("run", "--fresh", "--json"))
    (aside,) = desk.path.glob("out.old-*")

    assert (summary["exit_code"], summary["resumed"]) == (0, 0)
    assert sorted(part.name for part in (aside / "data").iterdir()) == [
        f"part-00000{number}.parquet" for number in "012"
    ]


def test_another_prompt_over_the_same_output_is_refused_with_the_way_out(desk: Desk) -> None:
    desk.on_job("run")
    result = desk.on_job("run", "--set", "prompt.user=Other: {{ text }}")

    assert result.exit_code == 2
    assert "prompt.user" in result.stderr
    assert "--fresh" in result.stderr


def test_a_misspelt_key_of_the_file_is_told_with_the_nearest(tmp_path: Path) -> None:
    result = lay(tmp_path, job=JOB.replace("max_tokens", "max_toknes")).on_job("run")

    assert result.exit_code == 2
    assert "generation.max_toknes: no such key; did you mean generation.max_tokens?" in result.stderr


def test_a_misspelt_key_of_set_is_told_with_the_nearest(desk: Desk) -> None:
    result = desk.on_job("run", "--set", "limits.max_in_fligth=3")

    assert result.exit_code == 2
    assert "did you mean limits.max_in_flight?" in result.stderr


def test_a_job_file_that_is_not_there_is_named() -> None:
    result = invoke("run", "no-such-job.toml")

    assert result.exit_code == 2
    assert "no-such-job.toml" in result.stderr


def test_an_input_that_is_not_there_is_named(desk: Desk) -> None:
    result = desk.on_job("run", "--set", "input.path=no-such-rows.parquet")

    assert result.exit_code == 2
    assert "no-such-rows.parquet" in result.stderr


def test_a_job_that_is_wrong_leaves_no_output(desk: Desk) -> None:
    desk.on_job("run", "--set", "prompt.user={{ no_such_column }}")

    assert not desk.folder.path.exists()
