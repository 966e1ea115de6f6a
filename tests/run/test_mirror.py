"""The pools' mirror of Bedrock's meter against the emulator's own books, which share no code with it."""

from importlib import resources
from pathlib import Path

import pytest

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.service import Bedrock
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse

QUOTA = 60_000
ROWS = 40


def settled_by_us(ended: Rehearsal) -> float:
    """Return what our pools settled [quota tokens]: the share of the quota that the summary tells, taken back."""
    minutes = 1 + ended.summary["wall_s"] / 60
    return sum(lane["quota_used"] * QUOTA * minutes for lane in ended.summary["lanes"])


def settled_by_the_emulator(ended: Rehearsal) -> float:
    return sum(pool["settled_tokens"] for pool in ended.stats["pools"].values())


def test_both_sides_settle_the_same_tokens(tmp_path: Path) -> None:
    ended = rehearse(job(tmp_path, numbered(ROWS, "[[output_tokens=30]] Name a colour.")))
    counted = ended.stats["paid_input_tokens"] + 5 * ended.stats["paid_output_tokens"]  # BEDROCK: burndown 5

    assert ended.stats["paid_output_tokens"] == ROWS * 30
    assert settled_by_the_emulator(ended) == counted
    assert settled_by_us(ended) == pytest.approx(counted, rel=0.01)  # quota_used is rounded


def test_a_wrong_burndown_on_one_side_shows(tmp_path: Path) -> None:
    shipped = (resources.files("batchrun.bedrock") / "cards" / "claude-haiku-4-5.toml").read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(shipped.replace("output_burndown = 5", "output_burndown = 1"))
    spec = job(tmp_path, numbered(ROWS, "[[output_tokens=30]] Name a colour."), model={"card": str(wrong)})
    ended = rehearse(spec, EmulatedTransport(Bedrock(spec.emulator or EmulatorSpec())))

    missing = settled_by_the_emulator(ended) - settled_by_us(ended)
    assert missing == pytest.approx(4 * 30 * ROWS, rel=0.05)
