"""quota.share: what is left to an account's other users is left to them, in every minute, whatever the answers cost."""

from collections.abc import Sequence
from typing import Any

import pytest

from batchrun.emulator.reply import Reply
from batchrun.emulator.service import Bedrock, Call, Running
from batchrun.planning import plan
from tests.emulated_transport import EmulatedTransport
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse

WINDOWS = ["bucket", "fixed", "sliding"]
QUOTA, SHARE = 60_000, 0.5
# Input about 15 + max_tokens 100 are held, 15 + 5 × 100 settled: the answers come to 4.5 times their holds.
LONG_ANSWERS = "[[output_tokens=100]]"


class Metered(Bedrock):
    """The emulator, and a list of when it charged what: (time [s], tokens, requests)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.charges: list[tuple[float, float, int]] = []

    def begin(self, call: Call, now_s: float) -> Reply | Running:
        """Note the hold of a call that is let in."""
        outcome = super().begin(call, now_s)
        if isinstance(outcome, Running):
            self.charges.append((now_s, outcome.reservation.tokens.tokens, 1))
        return outcome

    def finish(self, running: Running, now_s: float) -> Reply:
        """Note what the call came to above its hold; answers here never come to less."""
        held = running.reservation.tokens.tokens
        settled = self.books.pool(running.pool.name).settled_tokens
        reply = super().finish(running, now_s)
        self.charges.append((now_s, self.books.pool(running.pool.name).settled_tokens - settled - held, 0))
        return reply


def most_in_a_minute(charges: Sequence[tuple[float, float]]) -> float:
    """Return the largest sum of any 60 s, their end not included."""
    most = total = 0.0
    first = 0
    ordered = sorted(charges)
    for at_s, amount in ordered:
        total += amount
        while ordered[first][0] <= at_s - 60:
            total -= ordered[first][1]
            first += 1
        most = max(most, total)
    return most


def shared(folder: Any, rows: int | list[str], share: float = SHARE, **changes: Any) -> tuple[Rehearsal, Metered]:
    """Run a job of long answers at a share of the quota; return it with what was charged."""
    tables: dict[str, dict[str, Any]] = {
        "generation": {"max_tokens": 100},
        "quota": {"tokens_per_minute": QUOTA, "share": share},
        "emulator": {"tpm": QUOTA, "rtt_ms": 50},
    }
    for name, change in changes.items():
        tables[name] = {**tables.get(name, {}), **change}
    spec = job(folder, numbered(rows, LONG_ANSWERS) if isinstance(rows, int) else rows, **tables)
    assert spec.emulator is not None
    bedrock = Metered(spec.emulator)
    return rehearse(spec, EmulatedTransport(bedrock)), bedrock


def tokens_of(bedrock: Metered) -> list[tuple[float, float]]:
    return [(at_s, tokens) for at_s, tokens, _ in bedrock.charges]


def requests_of(bedrock: Metered) -> list[tuple[float, float]]:
    return [(at_s, requests) for at_s, _, requests in bedrock.charges]


@pytest.mark.parametrize("window", WINDOWS)
def test_no_minute_takes_more_than_the_share(tmp_path, window):
    # 120 rows of 515 tokens are two minutes of 30,000.
    ended, bedrock = shared(tmp_path, 120, emulator={"window": window})

    assert ended.summary["by_status"] == {"ok": 120}
    assert most_in_a_minute(tokens_of(bedrock)) <= SHARE * QUOTA


@pytest.mark.parametrize("window", WINDOWS)
def test_answers_that_take_long_count_in_the_minute_in_which_they_end(tmp_path, window):
    # What the first 50 rows come to above their holds, 20,000, is charged after 50 s; the others take half a second.
    first = numbered(50, f"[[latency_s=50]] {LONG_ANSWERS}")
    ended, bedrock = shared(tmp_path, [*first, *numbered(120, LONG_ANSWERS)], emulator={"window": window})

    assert ended.summary["by_status"] == {"ok": 170}
    assert most_in_a_minute(tokens_of(bedrock)) <= SHARE * QUOTA


@pytest.mark.parametrize("window", WINDOWS)
def test_no_minute_takes_more_requests_than_the_share(tmp_path, window):
    quota = {"tokens_per_minute": 10_000_000, "requests_per_minute": 60}
    emulator = {"tpm": 10_000_000, "rpm": 60, "window": window}
    ended, bedrock = shared(tmp_path, 80, quota=quota, emulator=emulator)

    assert ended.summary["by_status"] == {"ok": 80}
    assert most_in_a_minute(requests_of(bedrock)) <= SHARE * 60


@pytest.mark.parametrize("window", WINDOWS)
def test_the_share_is_used(tmp_path, window):
    # 360 rows of about 515 tokens are more than six minutes of 30,000.
    ended, bedrock = shared(tmp_path, 360, emulator={"window": window})
    settled = ended.stats["pools"]["us-east-1/geo"]["settled_tokens"]

    assert ended.wall_s > 300
    assert settled / ended.wall_s >= 0.85 * SHARE * QUOTA / 60
    assert ended.stats["throttled"] == 0
    assert len(bedrock.charges) == 720


def test_calls_that_others_crowd_out_break_no_promise(tmp_path):
    tenant = {"pool": "us-east-1/geo", "share": 1.0, "from_s": 0, "to_s": 90}
    ended, bedrock = shared(tmp_path, 120, emulator={"window": "sliding", "tenants": [tenant]})

    assert ended.summary["by_status"] == {"ok": 120}
    assert most_in_a_minute(tokens_of(bedrock)) <= SHARE * QUOTA


def test_a_share_of_1_changes_nothing(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "unnamed").mkdir()
    named, with_share = shared(tmp_path / "named", 150, share=1.0)
    unnamed, without = shared(tmp_path / "unnamed", 150, quota={"share": None})

    assert named.wall_s == pytest.approx(unnamed.wall_s, abs=0.1)
    assert most_in_a_minute(tokens_of(with_share)) == pytest.approx(most_in_a_minute(tokens_of(without)), rel=0.01)


def test_without_a_share_a_minute_takes_what_the_account_has(tmp_path):
    _, bedrock = shared(tmp_path, 150, share=1.0)

    assert most_in_a_minute(tokens_of(bedrock)) > SHARE * QUOTA


def test_a_plan_tells_the_share_and_its_source(tmp_path):
    quota = {"tokens_per_minute": 60_000, "requests_per_minute": 500, "tokens_per_day": 1_000_000, "share": 0.5}
    (told,) = plan(job(tmp_path, numbered(3), quota=quota))["quotas"]

    assert (told["tokens_per_minute"], told["requests_per_minute"]) == (30_000, 250)
    assert told["sources"]["tokens_per_minute"] == "job: quota.tokens_per_minute × quota.share 0.5"
    assert told["sources"]["requests_per_minute"] == "job: quota.requests_per_minute × quota.share 0.5"


def test_a_days_tokens_are_not_shared(tmp_path):
    (told,) = plan(job(tmp_path, numbered(3), quota={"tokens_per_day": 1_000_000, "share": 0.5}))["quotas"]

    assert told["tokens_per_day"] == 1_000_000
    assert told["sources"]["tokens_per_day"] == "job: quota.tokens_per_day"


def test_the_cards_default_is_shared_too(tmp_path):
    quota = {"tokens_per_minute": None, "share": 0.5}
    found = plan(job(tmp_path, numbered(3), quota=quota))
    (whole,) = plan(job(tmp_path, numbered(3), quota={"tokens_per_minute": None}))["quotas"]
    (told,) = found["quotas"]

    assert told["tokens_per_minute"] == whole["tokens_per_minute"] / 2
    assert told["sources"]["tokens_per_minute"].endswith("× quota.share 0.5")
    assert any("the card's default" in line for line in found["warnings"])


def test_a_plan_at_half_the_quota_takes_twice_as_long(tmp_path):
    whole = plan(job(tmp_path, numbered(300)))["minutes"]
    half = plan(job(tmp_path, numbered(300), quota={"share": 0.5}))["minutes"]

    assert half["at_most"] == pytest.approx(2 * whole["at_most"], abs=0.02)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_start_within_a_minute_of_the_last_keeps_the_promise_too(tmp_path, window):
    quota = {"tokens_per_minute": QUOTA, "share": SHARE}
    emulator = {"window": window, "tpm": QUOTA, "latency_s": 0.5}
    first = rehearse(job(tmp_path, numbered(300), quota=quota, emulator=emulator, limits={"deadline": 20}))
    second = rehearse(
        job(tmp_path, numbered(300), quota=quota, emulator=emulator, limits={"deadline": 59}), first.transport
    )

    assert (first.code, second.code) == (3, 3)
    assert second.summary["rows"] == first.summary["rows"] > 0
