"""The systemd units: what they say holds for this command line, and systemd takes them."""

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from batchrun.errors import AccessError, InputError, JobError, LockedError, RunStopped, StorageError
from batchrun.jobspec import seconds
from batchrun.jobspec.running import Limits
from tests.cli.desk import invoke
from tests.schedules.workshop import EXAMPLES, Workshop

SERVICE, TIMER = "batchrun@.service", "batchrun@.timer"


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(EXAMPLES / name)
    return parser


def codes(written: str) -> set[int]:
    return {int(code) for code in written.split()}


def test_the_service_starts_again_after_exit_3_alone() -> None:
    service = unit(SERVICE)["Service"]
    never = codes(service["RestartPreventExitStatus"])

    assert service["Restart"] == "on-failure"
    assert never == {1, *(error.exit_code for error in (JobError, InputError, AccessError, StorageError, LockedError))}
    assert RunStopped.exit_code not in never


def test_another_run_at_work_is_no_failure_of_the_service() -> None:
    assert codes(unit(SERVICE)["Service"]["SuccessExitStatus"]) == {LockedError.exit_code}


def test_systemd_waits_longer_than_a_run_drains() -> None:
    waits = unit(SERVICE)["Service"]["TimeoutStopSec"]

    assert seconds(waits.removesuffix("in")) > 2 * Limits().drain  # "2min" as we write it is "2m"


def test_the_retries_of_a_day_end_before_the_next_tick_of_the_timer() -> None:
    service = unit(SERVICE)
    retried = int(service["Unit"]["StartLimitBurst"]) * seconds(service["Service"]["RestartSec"].removesuffix("in"))

    assert retried < seconds(service["Unit"]["StartLimitIntervalSec"]) < 86_400


def test_the_command_that_the_service_starts_is_one_of_ours(shop: Workshop) -> None:
    program, command, job = unit(SERVICE)["Service"]["ExecStart"].split()
    shop.path.joinpath("classify.toml").rename(shop.path / job.rpartition("/")[2].replace("%i", "nightly"))
    result = invoke(command, str(shop.path / "nightly.toml"))

    assert program.endswith("/batchrun")
    assert result.exit_code == 0, result.output


def test_the_timer_starts_the_service_of_its_name() -> None:
    timer = unit(TIMER)["Timer"]

    assert "Unit" not in timer  # so it is the service of the same name
    assert timer["OnCalendar"].endswith("UTC")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="install systemd for systemd-analyze")
def test_systemd_takes_both_units(tmp_path: Path) -> None:
    for name in (SERVICE, TIMER):
        text = (EXAMPLES / name).read_text().replace("/opt/batchrun/.venv/bin/batchrun", "/bin/true")
        (tmp_path / name.replace("@", "@classify")).write_text(text)
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths]
    looked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert (looked.returncode, looked.stderr) == (0, "")
