"""`python -m tests.torture`: kill runs as often as wanted, and print what it cost. Exit 1 if anything went wrong."""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from tests.torture.books import emulated_bedrock
from tests.torture.disks import fastest_place
from tests.torture.episode import Episode, Story
from tests.torture.plans import plan
from tests.torture.points import SPOTS
from tests.torture.table import table
from tests.torture.zygote import Zygote


class Torture:
    """Takes seeds from one counter until there were kills enough, in as many threads as wanted."""

    def __init__(self, kills: int, first_seed: int) -> None:
        self.stories: list[Story] = []
        self._wanted = kills
        self._seeds: Iterator[int] = count(first_seed)
        self._lock = threading.Lock()

    @property
    def kills(self) -> int:
        """Return how many runs were killed so far."""
        return sum(len(story.kills) for story in self.stories)

    def serve(self, base: Path) -> None:
        """Play episodes in `base` until there were kills enough."""
        base.mkdir()
        with emulated_bedrock(base) as books, Zygote(base / "scratch") as zygote:
            episode = Episode(zygote, books, base / "episode")
            while self.kills < self._wanted:
                with self._lock:
                    seed = next(self._seeds)
                story = episode.play(plan(seed))
                with self._lock:
                    self.stories.append(story)
                    if story.wrong:
                        print(f"{story}\n  " + "\n  ".join(story.wrong), flush=True)


def main() -> int:
    """Run the torture and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first episode's; with --kills 1 that episode alone")
    parser.add_argument("--jobs", type=int, default=2, help="episodes at once")
    asked = parser.parse_args()
    torture = Torture(asked.kills, asked.seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-", dir=fastest_place()) as folder:
        bases = [Path(folder).resolve() / f"{number}" for number in range(asked.jobs)]
        with ThreadPoolExecutor(asked.jobs) as threads:
            list(threads.map(torture.serve, bases))  # raises what went wrong with the harness itself
    wall_s = time.monotonic() - began_s
    return report(torture.stories, wall_s, every_spot=asked.kills >= 5 * len(SPOTS))


def report(stories: list[Story], wall_s: float, *, every_spot: bool) -> int:
    """Print what happened; return the exit code, 1 too where a spot was never reached."""
    print(table(stories))
    wrong = [story for story in stories if story.wrong]
    kills = sum(len(story.kills) for story in stories)
    print(f"{kills} kills in {len(stories)} episodes and {wall_s:.0f} s; {len(wrong)} episodes went wrong")
    for story in wrong:
        print(f"again: python -m tests.torture --kills 1 --jobs 1 --seed {story.plan.seed}")
    told = {kill.told_as for story in stories for kill in story.kills}
    never = [str(spot) for spot in SPOTS if str(spot) not in told] if every_spot else []
    for spot in never:
        print(f"never reached: {spot}")
    forced = [start for story in stories for start in story.missed if start.forced]
    for start in forced:
        print(f"missed: {start.told_as}: {start.death}")
    return 1 if wrong or never or forced or not stories else 0


if __name__ == "__main__":
    sys.exit(main())
