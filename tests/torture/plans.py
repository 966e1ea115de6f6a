"""What is to be killed and when: every spot in turn, then moments and points drawn from the episode's seed."""

from random import Random

from tests.torture.episode import Plan, Start
from tests.torture.jobs import KINDS
from tests.torture.points import BOTH, DURING, LINE, LONG, MIXED, NOTHING, PLAIN, SPOTS, TO_BE_MOVED, Death, Spot

A_PART_S = 0.02  # and a part with answers of 16 KB
EARLY_S = 0.3
MOST_FURTHER_KILLS = 6
CAPS_USD = {PLAIN: 0.002, LONG: 0.1}  # reached on the way
EARLY = "a moment in the first 300 ms of a resume"
MOMENT = "a moment of a resume"
FIRST_MOMENT = "a moment of a new start"
ANY_POINT = "any point of a resume"
MOMENTS = len(SPOTS) // 10  # episodes that begin with one
# Points that most starts pass, each as often as it is here or more.
COMMON = tuple(
    (name, when, most)
    for name, whens, most in (
        ("log append sent", LINE, 12),
        ("log append outcome", LINE, 12),
        ("log append unsettled", LINE, 3),
        ("log truncate", BOTH, 2),
        ("log remove", BOTH, 2),
        ("part row group", (*BOTH, DURING), 2),
        ("part sync", BOTH, 2),
        ("part rename", BOTH, 2),
        ("data folder sync", BOTH, 2),
        ("spool remove", BOTH, 2),
        ("status rename", BOTH, 1),
        ("lock write", BOTH, 1),
    )
    for when in whens
)


def plan(seed: int) -> Plan:
    """Return the plan of an episode; seeds from 0 on go through all spots, over and over."""
    place = seed % (len(SPOTS) + MOMENTS)
    return plan_at(SPOTS[place], seed) if place < len(SPOTS) else plan_of_moments(seed)


def plan_at(spot: Spot, seed: int, further: int | None = None) -> Plan:
    """Return a plan whose first kill but for what must come before is at `spot`."""
    chance = Random(seed)
    point = spot.point
    earlier, fresh = point.earlier, point.earlier is TO_BE_MOVED
    starts = []
    if earlier is not NOTHING:
        starts.append(
            Start(f"to have it {earlier.name}", earlier.death, command=("run", *earlier.arguments), forced=True)
        )
    delay_s = chance.uniform(0, A_PART_S) if spot.when == DURING else 0.0
    death = Death(point.name, spot.when, chance.randint(1, point.most), delay_s)
    starts.append(Start(str(spot), death, command=earlier.command, forced=True))
    if fresh and chance.random() < 0.5:
        moment_s = chance.uniform(0, EARLY_S)
        starts.append(Start("a moment of --fresh", kill_after_s=moment_s, command=earlier.command, forced=True))
    starts += _kills(chance, further) if fresh else _further(chance, point.job, further)
    return Plan(seed, KINDS[point.job], tuple(starts))


def plan_of_moments(seed: int, further: int | None = None) -> Plan:
    """Return a plan that begins with a kill at a moment."""
    chance = Random(seed)
    kind = chance.choice([PLAIN, LONG, MIXED])
    first = Start(FIRST_MOMENT, kill_after_share=chance.random())
    return Plan(seed, KINDS[kind], (first, *_further(chance, kind, further)))


def _further(chance: Random, kind: str, number: int | None) -> list[Start]:
    """Return further kills, and now and then a start under a cost cap, which is over the output's whole life."""
    starts = _kills(chance, number)
    if kind in CAPS_USD and chance.random() < 0.15:
        starts.insert(chance.randint(0, len(starts)), Start("a start under a cost cap", max_cost_usd=CAPS_USD[kind]))
    return starts


def _kills(chance: Random, number: int | None) -> list[Start]:
    return [_kill(chance) for _ in range(chance.randint(2, MOST_FURTHER_KILLS) if number is None else number)]


def _kill(chance: Random) -> Start:
    what = chance.random()
    if what < 0.35:
        return Start(EARLY, kill_after_s=chance.uniform(0, EARLY_S))
    if what < 0.5:
        return Start(MOMENT, kill_after_share=chance.random())
    name, when, most = chance.choice(COMMON)
    delay_s = chance.uniform(0, A_PART_S) if when == DURING else 0.0
    return Start(ANY_POINT, Death(name, when, chance.randint(1, most), delay_s))
