"""lanes, emulate, init, --version, and what --help costs."""

import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.desk import invoke, told

HEAVY = {"pyarrow", "aioboto3", "aiobotocore", "botocore", "aiohttp", "anyio", "pydantic", "jinja2", "tqdm", "tenacity"}


def card_lanes() -> set[tuple[str, str]]:
    """Return (scope, source Region) of everything that the card's file lists."""
    text = (resources.files("batchrun.bedrock") / "cards" / "claude-haiku-4-5.toml").read_text(encoding="utf-8")
    card = tomllib.loads(text)
    scopes = card["scope"] | {"mantle": {"source_regions": card["endpoint"]["mantle"]["regions"]}}
    return {
        (name, region)
        for name, scope in scopes.items()
        for region in (scope["sources"] if "sources" in scope else scope["source_regions"])
    }


# lanes


def test_lanes_lists_every_lane_of_the_card_once() -> None:
    result = invoke("lanes", "--json")
    lanes = json.loads(result.stdout)

    assert result.exit_code == 0
    assert len(lanes) == len(card_lanes())
    assert {(lane["scope"], lane["source_region"]) for lane in lanes} == card_lanes()


def test_a_lane_says_its_id_its_pool_and_where_it_may_run() -> None:
    lanes = json.loads(invoke("lanes", "--json").stdout)
    canada = next(lane for lane in lanes if (lane["scope"], lane["source_region"]) == ("us", "ca-central-1"))

    assert canada["inference_id"] == "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert canada["pool"] == "ca-central-1/geo"
    assert canada["destination_regions"] == ["ca-central-1", "us-east-1", "us-east-2", "us-west-2"]
    assert canada["opt_in"] is False


def test_lanes_for_people_name_ids_regions_and_opt_ins() -> None:
    text = invoke("lanes").stdout

    assert "us: us.anthropic.claude-haiku-4-5-20251001-v1:0" in text
    assert "eu-central-2 (opt-in)" in text
    assert "any commercial Region" in text


def test_an_unknown_card_is_told_with_those_there_are() -> None:
    result = invoke("lanes", "--card", "claude-haiku-9", "--json")

    assert result.exit_code == 2
    assert told(result)["exit_code"] == 2
    assert "claude-haiku-4-5" in result.stderr


# emulate


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tpm", "-1"], "emulator.tpm = -1: must be ≥ 0"),
        (["--fault", "reset"], "write KIND=SHARE"),
        (["--fault", "reset=often"], "the share must be a number"),
        (["--fault", "earthquake=0.1"], "no fault kind 'earthquake'"),
        (["--window", "round"], "emulator.window"),
        (["--config", "no-such-file.toml"], "no-such-file.toml"),
    ],
)
def test_an_emulator_that_cannot_be_is_refused_by_name(options: list[str], message: str) -> None:
    result = invoke("emulate", *options)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_config_without_the_table_is_told(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text("tpm = 3\n")
    result = invoke("emulate", "--config", str(config))

    assert result.exit_code == 2
    assert "has no [emulator] table" in result.stderr


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[emulator.pools."us-west-9/geo"]\ntpm = 5\n', "emulator.pools: no pool 'us-west-9/geo'"),
        (
            '[[emulator.outages]]\nregion = "nowhere"\nfrom_s = 0\nto_s = 9\n',
            "emulator.outages: no source Region 'nowhere'",
        ),
    ],
)
def test_what_the_card_does_not_have_is_named_before_anything_starts(tmp_path: Path, table: str, message: str) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(table)
    result = invoke("emulate", "--config", str(config))

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"batchrun: {message}")


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke("emulate", "--port", str(port))

    assert result.exit_code != 0
    assert f"port {port} on 127.0.0.1 is in use" in result.stderr


def test_an_emulator_says_its_url_and_ends_in_order_on_a_signal() -> None:
    command = [sys.executable, "-m", "batchrun", "emulate", "--tpm", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/stats", timeout=10) as answer:
            calls = json.load(answer)["calls"]
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)

    assert calls == 0
    assert (process.returncode, err) == (0, "")


# init


def test_init_writes_a_job_that_can_be_planned_once_its_input_exists(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    written = invoke("init", str(job))
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"text": ["Good.", "Bad."]}), tmp_path / "data" / "rows.parquet")
    planned = told(invoke("plan", str(job), "--json"))

    assert written.exit_code == 0
    assert f"batchrun plan {job}" in written.stdout
    assert planned["rows"] == 2


def test_a_written_job_without_its_input_is_told_what_is_missing(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    invoke("init", str(job))
    result = invoke("plan", str(job))

    assert result.exit_code == 2
    assert "input.path" in result.stderr


def test_init_writes_into_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    invoke("init")

    assert (tmp_path / "job.toml").exists()


def test_init_does_not_overwrite(tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text("mine")
    result = invoke("init", str(job))

    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert job.read_text() == "mine"


def test_init_into_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = invoke("init", str(tmp_path / "no" / "job.toml"))

    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


# The program


def test_the_version_is_the_installed_one() -> None:
    assert invoke("--version").stdout == f"batchrun {version('batchrun')}\n"


def test_an_unknown_command_is_exit_2() -> None:
    assert invoke("rnu").exit_code == 2


def test_a_reader_that_has_gone_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "batchrun", "lanes"]
    with open(writer, "wb") as gone:  # noqa: PTH123 - a descriptor is no path
        ended = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=30, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_help_lists_every_command() -> None:
    text = invoke("--help").stdout

    assert all(
        f"  {command} " in text for command in ("run", "plan", "status", "verify", "lanes", "emulate", "doctor", "init")
    )


def test_help_of_run_explains_the_exit_codes() -> None:
    assert "another run holds the output" in " ".join(invoke("run", "--help").stdout.split())


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "batchrun", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.splitlines()}

    assert "typer" in imported
    assert not imported & HEAVY
