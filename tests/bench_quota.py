"""`make bench-quota`: tight quotas over real HTTP, batchrun beside what people write around aioboto3.

Every client is a process with an emulator of its own in another; those of a round run side by side, which costs them
nothing at five rows a second and lets them share the machine's moods. `wall` is a whole process, start-up included,
over the optimum of tests/simulation/oracle.py; throttled calls are what the emulator counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.bedrock.card import Card, load_card
from batchrun.emulator.config import EmulatorSpec, PoolQuota
from batchrun.emulator.pools import charge_tokens, make_pools
from batchrun.emulator.service import Bedrock, Running
from batchrun.emulator.service import Call as Post
from tests.simulation.oracle import Call, Outlet, optimum_a, optimum_b
from tests.small_job import emulator_at, job_text

TPM = {"us-east-1": 90_000, "us-east-2": 45_000, "us-west-2": 15_000}
ROWS = 400  # 1.4 minutes of all three; the SDK's adaptive mode takes four times as long
MAX_TOKENS = 256
LONGEST_S = 600
TEXT = "{} " + "the quick brown fox jumps over the lazy dog and on it goes for a while " * 8
SERVICE: Mapping[str, Any] = {"rtt_ms": 50.0, "latency_s": 0.6, "latency_per_token_s": 0.01}
METERS: Mapping[str, Mapping[str, Any]] = {
    "bucket of 10 s": {"window": "bucket", "burst_s": 10},
    "fixed minute": {"window": "fixed"},
    "sliding minute": {"window": "sliding"},
}
CLIENTS = {
    "batchrun": 1,
    "batchrun, told 10 × the quota": 10,
    "semaphore, SDK's adaptive retries": 0,
    "jittered back-off, Regions in turn": 0,
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one process did with the rows."""

    wall_s: float
    optimum_s: float
    throttled: int
    lost: int
    cpu_s: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=ROWS)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--meter", nargs="*", choices=list(METERS), default=["bucket of 10 s", "sliding minute"])
    arguments.add_argument("--client", nargs="*", choices=list(CLIENTS), default=list(CLIENTS))
    given = arguments.parse_args()
    quotas = ", ".join(f"{region} {tpm:,}" for region, tpm in TPM.items())
    print(f"{given.rows:,} rows, tokens a minute: {quotas}; refusals take 50 ms; {given.rounds} round(s)", flush=True)
    for meter in given.meter:
        runs: dict[str, list[Run]] = {client: [] for client in given.client}
        for _ in range(given.rounds):
            with ThreadPoolExecutor(len(given.client)) as side_by_side:
                measured = side_by_side.map(partial(measure, meter=meter, rows=given.rows), given.client)
            for client, run in zip(given.client, measured, strict=True):
                runs[client].append(run)
        report(meter, runs, given.rows)


def report(meter: str, runs: Mapping[str, Sequence[Run]], rows: int) -> None:
    print(f"\n{meter}")
    print(f"  {'':<36}{'wall':>8}{'÷ optimum':>11}{'throttled':>11}{'of rows':>9}{'lost':>6}{'CPU per row':>13}")
    for client, measured in runs.items():
        wall_s = statistics.mean(run.wall_s for run in measured)
        ratio = statistics.mean(run.wall_s / run.optimum_s for run in measured)
        throttled = statistics.mean(run.throttled for run in measured)
        cpu_ms = 1e3 * statistics.mean(run.cpu_s for run in measured) / rows
        lost = sum(run.lost for run in measured)
        print(
            f"  {client:<36}{wall_s:>6.0f} s{ratio:>11.2f}{throttled:>11,.0f}{100 * throttled / rows:>7.1f} %"
            f"{lost:>6}{cpu_ms:>10.2f} ms",
            flush=True,
        )


def measure(client: str, *, meter: str, rows: int) -> Run:
    """Run one client against an emulator of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [TEXT.format(row) for row in range(rows)]
        pq.write_table(pa.table({"text": texts}), folder / "rows.parquet")
        (folder / "emulator.toml").write_text(emulator_table(meter))
        command = [sys.executable, "-m", "batchrun", "emulate", "--port", "0", "--config", f"{folder}/emulator.toml"]
        emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert emulator.stdout is not None
            url = emulator.stdout.readline().split()[-1]
            wall_s, cpu_s, answered = run_client(client, folder, url)
            with urllib.request.urlopen(f"{url}/stats") as told:
                throttled = json.load(told)["throttled"]
        finally:
            emulator.terminate()
            emulator.communicate(timeout=20)
    return Run(wall_s, optimum_s(meter, texts), throttled, rows - answered, cpu_s)


def run_client(client: str, folder: Path, url: str) -> tuple[float, float, int]:
    """Return how long a client took [s], its CPU [s] and how many rows it has answers to."""
    told = CLIENTS[client]
    if told:
        pools = {f"{region}/geo": {"tokens_per_minute": told * tpm} for region, tpm in TPM.items()}
        job = job_text(
            "bench-quota",
            generation={"max_tokens": MAX_TOKENS},
            routing={"source_regions": list(TPM)},
            quota={"tokens_per_minute": None, "pools": pools},
            limits={"max_failed": 1.0},
            aws=emulator_at(url),
        )
        (folder / "job.toml").write_text(job)
        wall_s, cpu_s, said = ended(["batchrun", "run", f"{folder}/job.toml", "--quiet", "--json"])
        by_status = json.loads(said)["by_status"]
        return wall_s, cpu_s, by_status.get("ok", 0) + by_status.get("truncated", 0)
    kind = "adaptive" if "adaptive" in client else "backoff"
    wall_s, cpu_s, said = ended(["tests.bench_quota_rivals", kind, str(folder), url, *TPM])
    return wall_s, cpu_s, int(said)


def ended(module: Sequence[str]) -> tuple[float, float, str]:
    """Run a module of Python to its end, at most LONGEST_S; return its wall time and CPU [s] and what it printed."""
    began_s = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.PIPE, text=True)
    ender = threading.Timer(LONGEST_S, process.kill)
    ender.start()
    try:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        ender.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{module} ended with {process.returncode}"
    return time.monotonic() - began_s, usage.ru_utime + usage.ru_stime, said


def emulator_table(meter: str) -> str:
    keys = {**METERS[meter], **SERVICE}
    pools = [f'pools."{region}/geo".tpm = {tpm}' for region, tpm in TPM.items()]
    return "\n".join(["[emulator]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), *pools])


def optimum_s(meter: str, texts: Sequence[str]) -> float:
    """Return the larger of the oracle's two optima [s]."""
    pools = {f"{region}/geo": PoolQuota(tpm=tpm) for region, tpm in TPM.items()}
    spec, card = EmulatorSpec(**METERS[meter], **SERVICE, pools=pools), load_card()
    calls = calls_of(texts, card)
    sums = [make_pools(spec, card)[name] for name in pools]
    fresh = make_pools(spec, card)
    a_s = optimum_a([Outlet(fresh[name]) for name in pools], calls)
    b_s = optimum_b(sums, sum(call.charge for call in calls), len(calls), calls[-1].latency_s)
    return max(a_s, b_s) + spec.rtt_ms / 1000


def calls_of(texts: Sequence[str], card: Card) -> list[Call]:
    """Ask an emulator without quotas what each row holds, what it settles at and how long it takes."""
    bedrock, calls = Bedrock(EmulatorSpec(tpm=10**12, **SERVICE)), []
    model = card.scopes["us"].inference_id
    for text in texts:
        fields = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": MAX_TOKENS}
        body = json.dumps({**fields, "messages": [{"role": "user", "content": text}]}).encode()
        running = bedrock.begin(Post(f"/us-east-1/model/{model}/invoke", {"Authorization": "Bearer bench"}, body), 0.0)
        assert isinstance(running, Running)
        charge = charge_tokens(card, running.prompt.input_tokens, running.answer.output_tokens)
        calls.append(Call(running.prompt.input_tokens + MAX_TOKENS, charge, running.wait_s))
    return calls


if __name__ == "__main__":
    main()
