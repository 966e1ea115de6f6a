"""When global pools look like one pool of the account, and how they are booked then."""

from batchrun.lanes.admission import Admission, Admissions
from batchrun.lanes.pool import Pool
from batchrun.lanes.shared import look_shared
from batchrun.records import Usage
from tests.lanes.books import AT_ONCE, TOKENS, admissions, admitted, tpm, trial

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-south-1", "sa-east-1")
CALL = 500


def refused_at(times_s: dict[str, float]) -> list[Pool]:
    """Return pools of 100,000 that were used a little and then refused at the times given, by Region."""
    pools = []
    for region in REGIONS:
        pool = Pool(f"{region}/global", tpm(100_000), AT_ONCE)
        pool.settle(pool.reserve(400, 0.0), 400, 0.5)
        if region in times_s:
            pool.refuse(pool.reserve(400, times_s[region] - 0.1), times_s[region], requests=False)
        pools.append(pool)
    return pools


def test_pools_that_are_refused_together_far_below_their_quota_look_shared():
    assert look_shared(refused_at({region: 3.0 + place for place, region in enumerate(REGIONS)}))


def test_pools_that_are_refused_at_different_times_do_not():
    assert not look_shared(refused_at({region: 3.0 + 20 * place for place, region in enumerate(REGIONS)}))


def test_one_wrong_number_among_many_says_nothing():
    assert not look_shared(refused_at({"us-east-1": 3.0, "us-west-2": 3.0}))


def all_refused(kind: str = "global", numbers: tuple[int, ...] = (60_000,) * 5) -> tuple[Admissions, Admission]:
    """Return books of which each pool let one call in and refused the next at 1.0 s, and the first pool's open call."""
    names = [f"{kind} from {region}" for region in REGIONS]
    books = admissions({name: tpm(number) for name, number in zip(names, numbers, strict=True)})
    calls = [admitted(books, trial(row, hold=CALL), 0.8) for row in range(5)]
    refused = [(admitted(books, row, 0.9), row) for row in (trial(10 + place, hold=CALL) for place in range(5))]
    for admission, row in refused:
        books.faulted(admission, row, TOKENS, 1.0)
    return books, calls[0]


def test_pools_that_look_shared_are_booked_as_one():
    books, _ = all_refused()

    assert [pool.name for pool in books.router.booked()] == ["global"]
    assert "5 global pools were refused together" in (books.sharing.note() or "")
    assert admitted(books, trial(20, hold=CALL), 1.5).pool.name == "global"


def test_a_call_that_was_out_before_is_settled_where_it_was_booked():
    books, admission = all_refused()
    books.answered(admission, trial(0, hold=CALL), Usage(100, 20), 1.2)

    assert admission.pool.name != "global"
    assert admission.pool.settled_tokens == 200
    assert admission.pool.in_flight == 0


def test_what_a_lane_settles_while_it_is_booked_elsewhere_counts_as_its_own_pools():
    books, _ = all_refused()
    row = trial(20, hold=CALL)
    admission = admitted(books, row, 1.5)
    books.answered(admission, row, Usage(100, 20), 2.0)

    assert books.router.pools[admission.lane.pool].settled_tokens == 200
    assert books.router.pools[admission.lane.pool].used_tokens(2.0) == CALL + 200  # and the one of before, still out


def test_pools_that_are_told_different_numbers_are_never_one():
    books, _ = all_refused(numbers=(60_000, 61_000, 62_000, 63_000, 64_000))

    assert len(books.router.booked()) == 5
    assert books.sharing.note() is None


def test_geo_pools_are_never_one():
    books, _ = all_refused(kind="us")

    assert len(books.router.booked()) == 5


def test_pools_that_turn_out_to_be_several_are_parted_for_good():
    books, _ = all_refused()
    now_s, row = 1.2, 20
    while books.sharing.note() and now_s < 20.0:
        now_s, row = now_s + 0.05, row + 1
        one = trial(row, hold=CALL)
        while isinstance(admission := books.admit(one, now_s), Admission):  # and all of them pass
            books.answered(admission, one, Usage(100, 80), now_s)
    for place in range(8):  # refused together once more
        one = trial(1_000 + place, hold=CALL)
        if isinstance(admission := books.admit(one, now_s + 5), Admission):
            books.faulted(admission, one, TOKENS, now_s + 5.1)

    assert sorted(pool.name for pool in books.router.booked()) == sorted(f"{region}/global" for region in REGIONS)
    assert books.sharing.note() is None
