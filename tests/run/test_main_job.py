"""The main job: rows over eleven lanes, a tight quota, faults; every row once, in order, in the time it must take."""

import pytest

from tests.run.rehearsal import SIX_REGIONS, Rehearsal, job, numbered, rehearse

ROWS = 400
QUOTA = 6_000
FAULTS = {
    "ServiceUnavailableException": 0.01,
    "InternalServerException": 0.01,
    "reset": 0.005,
    "ModelTimeoutException": 0.005,
}


def main_job(folder, window: str) -> Rehearsal:
    """Run 400 rows over the us IDs of five Regions and the global IDs of six: 11 lanes, as many pools."""
    spec = job(
        folder,
        numbered(ROWS),
        routing={"scopes": ["us", "global"], "source_regions": SIX_REGIONS},
        quota={"tokens_per_minute": QUOTA},
        limits={"max_failed": 0.1},  # answers cut at max_tokens
        output={"rows_per_part": 100},
        emulator={"tpm": QUOTA, "window": window, "rtt_ms": 20, "latency_per_token_s": 0.002, "faults": FAULTS},
    )
    return rehearse(spec)


@pytest.fixture(scope="module", params=["bucket", "fixed"])
def ended(request, tmp_path_factory) -> Rehearsal:
    return main_job(tmp_path_factory.mktemp(request.param), request.param)


def test_every_row_has_one_result_in_the_order_of_the_input(ended):
    rows = ended.rows()

    assert ended.code == 0
    assert ended.succeeded
    assert [row["row"] for row in rows] == list(range(ROWS))
    assert {row["status"] for row in rows} <= {"ok", "truncated"}


def test_the_faults_were_met_and_none_became_a_result(ended):
    assert sum(ended.stats["faults"].values()) >= 5
    assert all(row["error_code"] is None for row in ended.rows())


def test_the_run_takes_about_as_long_as_its_tokens_need_at_the_quota(ended):
    settled = sum(pool["settled_tokens"] for pool in ended.stats["pools"].values())
    lanes = len(ended.summary["lanes"])
    least_s = 60 * settled / (QUOTA * lanes)  # about 146,000 tokens over 11 x 6,000 a minute

    assert lanes == 11
    assert least_s > 120
    assert ended.wall_s <= 1.15 * least_s


def test_no_pool_settles_much_more_than_its_quota_in_a_minute(ended):
    # A bucket may hold one quota and takes in another; the last calls settle above their holds, by up to 1,000 each.
    assert all(pool["largest_minute_tokens"] <= 2.5 * QUOTA for pool in ended.stats["pools"].values())


def test_the_table_of_lanes_adds_up_to_the_books_of_the_emulator(ended):
    lanes, pools = ended.summary["lanes"], ended.stats["pools"]

    assert sum(lane["calls"] for lane in lanes) == ended.stats["calls"]
    assert sum(lane["ok"] for lane in lanes) == ended.stats["answered"] == ROWS
    assert {lane["pool"]: lane["throttled"] for lane in lanes} == {
        name: pool["throttled"] for name, pool in pools.items()
    }
    assert sum(lane["faults"] for lane in lanes) == sum(ended.stats["faults"].values())


def test_tokens_and_dollars_are_what_the_answers_cost(ended):
    rows = ended.rows()
    price = {"us": (1.1, 5.5), "global": (1.0, 5.0)}  # USD per million tokens, in and out
    usd = 0.0
    for row in rows:
        of_input, of_output = price[row["inference_id"].partition(".")[0]]
        usd += (row["input_tokens"] * of_input + row["output_tokens"] * of_output) / 1e6

    assert ended.summary["usd"] == pytest.approx(usd)
    assert ended.summary["tokens"]["output"] == sum(row["output_tokens"] for row in rows)


def test_two_runs_of_the_same_job_take_the_same_time(ended, tmp_path):
    again = main_job(tmp_path, ended.bedrock.spec.window)

    assert again.wall_s == pytest.approx(ended.wall_s, rel=0.05)
    assert [row["text"] for row in again.rows()] == [row["text"] for row in ended.rows()]
