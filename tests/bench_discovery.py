"""What discovery adds to the start of a run: every Region without opt-in, the account in a process of its own.

`python -m tests.bench_discovery` asks at several latencies of AWS, with codes that are right and with codes that are
not, when whole lists are read; then once more with the day's cache.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batchrun.account.now import discover_now
from batchrun.bedrock.card import load_card
from batchrun.jobspec import JobSpec

SCOPES = ["us", "eu", "au", "global"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-s", type=float, nargs="+", default=[0.0, 0.05, 0.15, 0.3])
    import_s = _import_s()
    print(f"the SDK is imported in {import_s:.2f} s; a run does that with and without discovery")
    print(" latency  codes  first start    again     CPU  Regions with quotas  unread")
    for latency_s in parser.parse_args().latency_s:
        for codes in (True, False):
            print(_line(latency_s, codes=codes))


def _import_s() -> float:
    began_s = time.perf_counter()
    import batchrun.account.discover  # noqa: F401 - to see how long it takes

    return time.perf_counter() - began_s


def _line(latency_s: float, *, codes: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        config = Path(folder) / "emulator.toml"
        config.write_text(
            f"[emulator]\ntpm = 400_000\ncontrol_latency_s = {latency_s}\nquota_codes = {json.dumps(codes)}\n"
        )
        command = [sys.executable, "-m", "batchrun", "emulate", "--config", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            try:
                return _asked(url, Path(folder), f"{latency_s:>6.2f} s {'right' if codes else 'wrong':>6}")
            finally:
                process.terminate()


def _asked(url: str, folder: Path, head: str) -> str:
    spec = JobSpec.from_mapping(
        {
            "name": "bench",
            "input": {"path": "rows.parquet"},
            "prompt": {"user": "x"},
            "generation": {"max_tokens": 8},
            "routing": {"scopes": SCOPES},
            "output": {"path": "out"},
            "aws": {"endpoint_url": f"{url}/{{region}}", "control_url": f"{url}/{{region}}"},
        },
        base=folder,
    )
    card = load_card()
    walls = []
    cpu_s = time.process_time()
    for _ in range(2):
        began_s = time.perf_counter()
        found = discover_now(spec, card)
        walls.append(time.perf_counter() - began_s)
        if len(walls) == 1:
            cpu_s = time.process_time() - cpu_s
            regions = sum(1 for facts in found.by_region.values() if facts.quotas)
            unread = len(found.unread)
    read = f"{regions} of {len(found.by_region)}"
    return f"{head} {walls[0]:>10.2f} s {walls[1]:>6.2f} s {cpu_s:>5.2f} s {read:>20} {unread:>7}"


if __name__ == "__main__":
    main()
