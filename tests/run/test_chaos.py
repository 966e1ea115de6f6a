"""Jobs of every kind of row over every kind of trouble, stopped again and again: each row still ends exactly once."""

from random import Random

import pytest

from batchrun.emulator.service import Bedrock
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import SIX_REGIONS, Rehearsal, job, rehearse

PASSING = ["InternalServerException", "ServiceUnavailableException", "reset", "cut", "garbage", "hang", "slow"]
LASTING = ["InternalServerException", "ModelTimeoutException", "garbage", "ValidationException"]
STARTS = 30


def prompt(chance: Random, number: int) -> str | None:
    kind = chance.random()
    if kind < 0.02:
        return None
    if kind < 0.03:
        return f"{number} {'x' * chance.randrange(3_000, 40_000)}"
    if kind < 0.08:
        return f"{number} [[fault={chance.choice(PASSING)}*{chance.randrange(1, 4)}]]"
    if kind < 0.09:
        return f"{number} [[fault={chance.choice(LASTING)}]]"
    if kind < 0.12:
        return f"{number} [[latency_s={chance.randrange(1, 60)}]]"
    return f"{number} Name a thing."


def troubled(chance: Random) -> dict[str, dict[str, object]]:
    regions = chance.sample(SIX_REGIONS[:5], chance.randrange(1, 4))
    quota = chance.choice([8_000, 30_000, 1_000_000])
    return {
        "routing": {"scopes": chance.choice([["us"], ["us", "global"]]), "source_regions": regions},
        "quota": {"tokens_per_minute": quota},
        "output": {"rows_per_part": chance.choice([1, 7, 1_000])},
        "emulator": {
            "tpm": chance.choice([quota, quota // 2]),
            "rpm": chance.choice([None, 200]),
            "window": chance.choice(["bucket", "fixed", "sliding"]),
            "rtt_ms": chance.choice([0, 150]),
            "faults": {"ServiceUnavailableException": chance.choice([0, 0.1]), "reset": 0.01},
        },
    }


def started_until_finished(folder, chance: Random, prompts: list[str | None]) -> Rehearsal:
    """Start a job with deadlines that grow, until it ends by itself."""
    changes = troubled(chance)
    books: Bedrock | None = None
    began_at_s = 0.0
    for start in range(STARTS):
        limits = {"deadline": f"{2**start}s", "drain": chance.choice(["0s", "1s", "30s"]), "max_failed": 1.0}
        spec = job(folder, prompts, limits=limits, **changes)
        books = books or Bedrock(spec.emulator)
        ended = rehearse(spec, EmulatedTransport(books, began_at_s=began_at_s))
        began_at_s += ended.wall_s + 1
        if ended.code != 3:
            return ended
    raise AssertionError(f"not finished after {STARTS} starts: {ended.reason}")


@pytest.mark.parametrize("seed", range(6))
def test_every_row_ends_once_whatever_happens_and_however_often_the_run_is_stopped(tmp_path, seed):
    chance = Random(seed)
    prompts = [prompt(chance, number) for number in range(chance.randrange(30, 120))]
    ended = started_until_finished(tmp_path, chance, prompts)
    rows = ended.rows()

    assert ended.code == 0
    assert [row["row"] for row in rows] == list(range(len(prompts)))
    assert all(row["text"].startswith("[emulated]") for row in rows if row["status"] == "ok")
    assert {row["row"] for row in rows if row["status"] == "unsendable"} >= {
        number for number, text in enumerate(prompts) if text is None
    }
