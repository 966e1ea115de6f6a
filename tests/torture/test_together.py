"""Runs that start at the same moment: one gets the output, the others say who has it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.torture.bench import Bench
from tests.torture.books import Books
from tests.torture.zygote import Zygote

TOGETHER = 3


@pytest.fixture
def zygotes(base: Path) -> Iterator[list[Zygote]]:
    """As many processes that runs are forked from."""
    with ExitStack() as stack:
        yield [stack.enter_context(Zygote(base / f"scratch{number}")) for number in range(TOGETHER)]


def test_of_runs_that_start_together_one_works_and_the_others_send_nothing(
    zygotes: list[Zygote], books: Books, base: Path
) -> None:
    bench = Bench(zygotes[0], books, base)
    command = ("run", str(bench.job), "--json", "--quiet")
    for options in ((), ("--fresh",)):
        with ThreadPoolExecutor(TOGETHER) as threads:
            ended = list(threads.map(lambda zygote: zygote.run(bench.output, *command, *options), zygotes))  # noqa: B023

        codes = sorted(one.code for one in ended)
        assert codes.count(0) >= 1, ended
        assert set(codes) <= {0, 5}, ended
        assert all("another run holds this output: process" in one.err for one in ended if one.code == 5)
        assert bench.whole
    outputs = 1 + len(list(base.glob("out.old-*")))
    assert bench.paid.calls == outputs * bench.kind.rows
