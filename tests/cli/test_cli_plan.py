"""plan on the command line: text for people, one object for programs."""

from tests.cli.desk import Desk, told


def test_a_plan_is_text_on_stdout_and_nothing_on_stderr(desk: Desk) -> None:
    result = desk.on_job("plan")

    assert result.exit_code == 0
    assert result.stdout.startswith("desk: 5 rows from 1 file; a plan spends nothing")
    assert "us from us-east-1" in result.stdout
    assert result.stderr == ""


def test_a_plan_as_json_is_one_object(desk: Desk) -> None:
    planned = told(desk.on_job("plan", "--json"))

    assert (planned["job"], planned["rows"]) == ("desk", 5)
    assert planned.keys() >= {"lanes", "quotas", "tokens", "usd", "minutes", "warnings", "requests"}


def test_show_prints_the_first_rendered_requests(desk: Desk) -> None:
    result = desk.on_job("plan", "--show", "2")

    assert "Name fish 1." in result.stdout
    assert "Name fish 2." not in result.stdout


def test_limit_and_set_count_in_a_plan(desk: Desk) -> None:
    planned = told(desk.on_job("plan", "--json", "--limit", "2", "--set", "name=other"))

    assert (planned["job"], planned["rows"]) == ("other", 2)


def test_warnings_are_lines_of_the_plan(desk: Desk) -> None:
    assert "warning: aws.endpoint_url is set" in desk.on_job("plan").stdout


def test_a_plan_of_a_wrong_job_says_so_in_the_same_shape_as_a_run(desk: Desk) -> None:
    result = desk.on_job("plan", "--json", "--set", "generation.max_tokens=0")

    assert result.exit_code == 2
    assert told(result)["exit_code"] == 2
    assert "generation.max_tokens = 0" in result.stderr


def test_a_plan_leaves_no_output(desk: Desk) -> None:
    desk.on_job("plan", "--show", "1")

    assert sorted(entry.name for entry in desk.path.iterdir()) == ["job.toml", "rows.parquet"]


def test_auto_says_what_a_call_holds_at_first(desk: Desk) -> None:
    auto = ("--set", "generation.max_tokens=auto", "--set", "generation.max_tokens_ceiling=4096")

    assert "max_tokens, which begins at 512 and is learnt" in desk.on_job("plan", *auto).stdout
    assert told(desk.on_job("plan", "--json", *auto))["max_tokens"]["ceiling"] == 4_096


def test_auto_without_a_ceiling_says_what_to_do(desk: Desk) -> None:
    result = desk.on_job("plan", "--set", "generation.max_tokens=auto")

    assert result.exit_code == 2
    assert 'generation.max_tokens_ceiling: required with max_tokens = "auto"' in result.stderr
