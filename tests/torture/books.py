"""The emulator's books: a Bedrock in its own process, which outlives every run and counts what AWS would bill."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.torture.jobs import EMULATOR
from tests.torture.zygote import REPOSITORY

QUIET_WITHIN_S = 20.0
# The model card's prices of a geo lane [USD per million tokens]; a test holds them against it.
INPUT_USD, OUTPUT_USD = 1.10, 5.50


@dataclass(frozen=True, slots=True)
class Paid:
    """What has been paid for so far."""

    calls: int
    repeated: int  # calls beyond a prompt's first
    usd: float

    def since(self, before: "Paid") -> "Paid":
        """Return what came after `before`."""
        return Paid(self.calls - before.calls, self.repeated - before.repeated, self.usd - before.usd)


@dataclass(frozen=True, slots=True)
class Books:
    """The books of one emulator."""

    url: str

    def once_quiet(self) -> Paid:
        """Return what has been paid for, once no call of a dead run is going on any more."""
        until_s = time.monotonic() + QUIET_WITHIN_S
        while True:
            with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
                told = json.load(answer)
            if not told["in_flight"]:
                usd = (told["paid_input_tokens"] * INPUT_USD + told["paid_output_tokens"] * OUTPUT_USD) / 1e6
                return Paid(told["paid_calls"], told["repeated_calls"], usd)
            assert time.monotonic() < until_s, f"{told['in_flight']} calls do not end"
            time.sleep(0.005)


@contextmanager
def emulated_bedrock(scratch: Path) -> Iterator[Books]:
    """Run an emulator in a process of its own."""
    config = scratch / "emulator.toml"
    config.write_text(EMULATOR)
    environment = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "batchrun", "emulate", "--config", str(config)],
        stdout=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield Books(process.stdout.readline().split()[-1])
    finally:
        process.terminate()
        process.communicate(timeout=20)
