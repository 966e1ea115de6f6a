"""A started emulator for tests that are not async themselves: it runs in a thread of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from batchrun.emulator.config import EmulatorSpec
from batchrun.emulator.server import Emulator, serve


@pytest.fixture
def start() -> Iterator[Callable[..., Emulator]]:
    """Start an emulator with the given keys of `[emulator]`; without latency unless told."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal("asyncio"))

        def start(**keys: Any) -> Emulator:
            spec = EmulatorSpec(**{"latency_s": 0, "latency_per_token_s": 0, **keys})
            return stack.enter_context(portal.wrap_async_context_manager(serve(spec)))

        yield start
