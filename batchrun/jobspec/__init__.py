"""The job file: what a run is asked to do, read from TOML and checked before anything is sent."""

from batchrun.jobspec.durations import seconds
from batchrun.jobspec.generation import Generation
from batchrun.jobspec.keys import Key
from batchrun.jobspec.load import load_job
from batchrun.jobspec.model import Model
from batchrun.jobspec.prices import PriceClass, Prices
from batchrun.jobspec.running import Aws, Limits, PoolQuota, Quota, Retry, Routing
from batchrun.jobspec.spec import JobSpec, keys
from batchrun.jobspec.work import RESULT_COLUMNS, Input, Output, Prompt

__all__ = [
    "RESULT_COLUMNS",
    "Aws",
    "Generation",
    "Input",
    "JobSpec",
    "Key",
    "Limits",
    "Model",
    "Output",
    "PoolQuota",
    "PriceClass",
    "Prices",
    "Prompt",
    "Quota",
    "Retry",
    "Routing",
    "keys",
    "load_job",
    "seconds",
]
