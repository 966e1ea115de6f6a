"""batchrun: one prompt per Parquet row through Claude on Amazon Bedrock, at the account's quota."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.api import RunOptions, arun, run
    from batchrun.jobspec import JobSpec
    from batchrun.planning import plan

__all__ = ["JobSpec", "RunOptions", "arun", "plan", "run"]

_HOMES = {
    "JobSpec": "batchrun.jobspec",
    "RunOptions": "batchrun.api",
    "arun": "batchrun.api",
    "plan": "batchrun.planning",
    "run": "batchrun.api",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for: the command line must start fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'batchrun' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
