"""verify on the command line: 0, or 1 with the list of what is wrong."""

from pathlib import Path

from tests.cli.desk import SLOW, Desk, told


def damage(part: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)


def test_a_whole_output_is_verified(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    result = desk.on_job("verify")

    assert result.exit_code == 0
    assert result.stdout.startswith("verified: ")


def test_a_damaged_part_is_named_on_stdout(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    damage(desk.folder.data / "part-000001.parquet")
    result = desk.on_job("verify")

    assert result.exit_code == 1
    assert "part-000001.parquet" in result.stdout
    assert "part-000000.parquet" not in result.stdout
    assert result.stderr == ""


def test_what_is_wrong_comes_as_a_list_in_json(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    (desk.folder.data / "part-000002.parquet").unlink()
    found = told(desk.on_job("verify", "--json"))

    assert found["exit_code"] == 1
    assert any("row 4 has no result" in line for line in found["wrong"])


def test_nothing_wrong_is_an_empty_list_in_json(desk: Desk) -> None:
    desk.on_job("run", "--quiet")

    assert told(desk.on_job("verify", "--json")) == {"exit_code": 0, "wrong": []}


def test_rows_without_a_result_are_told(desk: Desk) -> None:
    desk.on_job("run", "--quiet", *SLOW)
    result = desk.on_job("verify")

    assert result.exit_code == 1
    assert "run again" in result.stdout


def test_an_output_that_was_never_run_is_not_verified(desk: Desk) -> None:
    result = desk.on_job("verify")

    assert result.exit_code == 1
    assert "no run has written here" in result.stdout


def test_a_wrong_job_is_exit_2_and_not_a_finding(desk: Desk) -> None:
    result = desk.on_job("verify", "--json", "--set", "input.path=no-such-rows.parquet")

    assert result.exit_code == 2
    assert told(result)["exit_code"] == 2


def test_an_output_of_the_first_rows_is_whole_for_the_same_limit(desk: Desk) -> None:
    desk.on_job("run", "--quiet", "--limit", "2")

    assert desk.on_job("verify").exit_code == 1
    assert desk.on_job("verify", "--limit", "2").exit_code == 0


def test_an_output_that_another_job_made_is_whole_and_not_without_a_word(desk: Desk) -> None:
    desk.on_job("run", "--quiet")
    result = desk.on_job("verify", "--set", "generation.max_tokens=7")

    assert (result.exit_code, result.stdout.startswith("verified: ")) == (0, True)
    assert "the output belongs to another job:\n  generation.max_tokens: was " in result.stderr
    assert desk.on_job("verify").stderr == ""
