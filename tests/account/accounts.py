"""A job whose account is an emulator that tells of itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve
from batchrun.jobspec import JobSpec
from tests.run.rehearsal import job

EAST_WEST = ["us-east-1", "us-west-2"]


@contextmanager
def account(**keys: Any) -> Iterator[Emulator]:
    """Start an emulator in a thread of its own, with the given keys of [emulator]."""
    spec = EmulatorSpec(**{"latency_s": 0, "latency_per_token_s": 0, **keys})
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(serve(spec)) as emulator:
        yield emulator


def job_of(folder: Path, at: Emulator, prompts: Any = ("Name a fish.",), **changes: Mapping[str, Any]) -> JobSpec:
    """A job on two Regions of that account, with no quota of its own."""
    url = f"{at.url}/{{region}}"
    tables: dict[str, Any] = {
        "aws": {"endpoint_url": url, "control_url": url},
        "quota": {"tokens_per_minute": None},
        "routing": {"scopes": ["us"], "source_regions": EAST_WEST},
    }
    for name, change in changes.items():
        tables[name] = {**tables.get(name, {}), **change}
    return job(folder, list(prompts), **tables)
