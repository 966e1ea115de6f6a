"""Every key of the contract (the design, section 1) is there with its default and can be set; others are named here."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from batchrun.jobspec import keys
from batchrun.jobspec.overrides import parsed

REQUIRED = {"name", "input.path", "generation.max_tokens", "output.path"}
UNSET: dict[str, Any] = dict.fromkeys(
    [
        *("input.id", "prompt.system", "prompt.system_file", "prompt.user", "prompt.user_file", "prompt.messages"),
        *("prompt.prefill", "generation.max_tokens_ceiling", "generation.temperature", "generation.top_p"),
        *("generation.thinking_budget_tokens", "generation.schema", "generation.schema_file", "model.service_tier"),
        *("model.guardrail_id", "model.guardrail_version", "routing.scopes", "routing.source_regions"),
        *("routing.residency", "quota.tokens_per_minute", "quota.requests_per_minute", "quota.tokens_per_day"),
        *("quota.pools.*.tokens_per_minute", "quota.pools.*.requests_per_minute", "quota.pools.*.tokens_per_day"),
        *("limits.max_cost_usd", "limits.deadline", "limits.rows", "prices.date"),
        *("output.scratch",),  # the contract's .batchrun/NAME comes in once the output is in S3
        *("aws.profile", "aws.role_arn", "aws.endpoint_url", "aws.control_url"),
        *(
            f"{table}.storage_options.{key}"
            for table in ("input", "output")
            for key in ("endpoint", "region", "profile")
        ),
        *(
            f"prices.{group}.{key}"
            for group in ("global", "geo")
            for key in ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
        ),
    ]
)
DEFAULTS: dict[str, Any] = UNSET | {
    "input.keep": (),
    "prompt.images": (),
    "prompt.tools": (),
    "generation.stop_sequences": (),
    "generation.keep_thinking": False,
    "model.card": "claude-haiku-4-5",
    "model.api": "invoke",
    "model.endpoint": "runtime",
    "model.transport": "sdk",
    "model.request_metadata": {},
    "routing.lane": (),
    "quota.share": 1.0,
    "quota.global_pool": "per_region",
    "quota.discover": True,
    "cache.system": False,
    "cache.tools": False,
    "cache.messages": False,
    "cache.ttl": "5m",
    "retry.max_attempts": 6,
    "retry.budget": 0.2,
    "limits.max_in_flight": "auto",
    "limits.drain": 20.0,
    "limits.max_failed": 0,
    "dedupe": False,
    "output.rows_per_part": 10_000,
    "output.fsync": "1s",
    "output.flush_s": 5,
    "sink": (),
}
EMULATOR = {  # the contract names no defaults for these
    *("emulator.window", "emulator.burst_s", "emulator.tpm", "emulator.rpm", "emulator.rtt_ms", "emulator.latency_s"),
    *("emulator.pools.*.tpm", "emulator.pools.*.rpm", "emulator.pools.*.tpd", "emulator.latency_per_token_s"),
    *("emulator.faults", "emulator.outages", "emulator.seed"),
}
BESIDES = {  # what the emulator has learnt beyond the contract
    *("emulator.edge_s", "emulator.global_pool", "emulator.tenants", "emulator.cache_miss"),
    *("emulator.control_latency_s", "emulator.denied", "emulator.lifecycle", "emulator.end_of_life"),
    *("emulator.quota_codes", "emulator.destinations", "emulator.profiles", "emulator.accounts"),
}

TOOL = {"name": "look", "input_schema": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}
SET = {  # a value that is not the default
    "name": "other",
    "input.path": ["a.parquet", "b/*.jsonl", "S3://bucket/c/*.parquet"],
    "input.storage_options.endpoint": "http://127.0.0.1:9000",
    "input.storage_options.region": "eu-central-1",
    "input.storage_options.profile": "data",
    "input.id": "review_id",
    "input.keep": ["stars", "a b"],
    "prompt.system": "Be brief.",
    "prompt.system_file": "prompt.txt",
    "prompt.user": "{{ row['a b'] }}",
    "prompt.user_file": "prompt.txt",
    "prompt.messages": "turns",
    "prompt.prefill": "{",
    "prompt.images": ["photo", "b c"],
    "prompt.tools": [TOOL],
    "generation.max_tokens": 64_000,
    "generation.max_tokens_ceiling": 64_000,
    "generation.temperature": 0,
    "generation.top_p": 0.9,
    "generation.stop_sequences": ["\n\nHuman:"],
    "generation.thinking_budget_tokens": 1_024,
    "generation.keep_thinking": True,
    "generation.schema": SCHEMA,
    "generation.schema_file": "schema.json",
    "model.card": "cards/own.toml",
    "model.api": "messages",
    "model.endpoint": "mantle",
    "model.transport": "http",
    "model.service_tier": "flex",
    "model.guardrail_id": "gr1abc2def3g",
    "model.guardrail_version": "DRAFT",
    "model.request_metadata": {"team": "reviews", "cost centre": "a:b/c=1"},
    "routing.lane": [
        {"id": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x", "scope": "us"},
        {"id": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "source_region": "us-east-1", "profile": "b"},
    ],
    "routing.scopes": ["us", "eu", "au", "global"],
    "routing.source_regions": ["us-east-1", "us-gov-west-1"],
    "routing.residency": ["us-east-1", "us-west-2"],
    "quota.tokens_per_minute": 0,
    "quota.requests_per_minute": 10_000,
    "quota.tokens_per_day": 5,
    'quota.pools."us-east-1/geo".tokens_per_minute': 5,
    'quota.pools."us-east-1/global".requests_per_minute': 0,
    'quota.pools."ap-southeast-2/geo".tokens_per_day': 7,
    'quota.pools."us-east-1/mantle".tokens_per_minute': 5,
    'quota.pools."222222222222:us-east-1/geo".tokens_per_minute': 5,
    "quota.share": 0.5,
    "quota.global_pool": "shared",
    "quota.discover": False,
    "cache.system": True,
    "cache.tools": True,
    "cache.messages": 2,
    "cache.ttl": "1h",
    "retry.max_attempts": 1,
    "retry.budget": 1,
    "limits.max_in_flight": 64,
    "limits.max_cost_usd": 0.5,
    "limits.deadline": "1h30m",
    "limits.drain": 0,
    "limits.max_failed": 0.05,
    "limits.rows": 1,
    "dedupe": "force",
    "output.path": "elsewhere",
    "output.rows_per_part": 1_000_000,
    "output.fsync": "always",
    "output.flush_s": 0.5,
    "output.scratch": "scratch",
    "output.storage_options.endpoint": "http://127.0.0.1:9000",
    "output.storage_options.region": "eu-central-1",
    "output.storage_options.profile": "data",
    "sink": [{"type": "jsonl", "path": "lines"}, {"type": "postgres", "table": "reviews", "dsn_env": "REVIEWS"}],
    "prices.date": "2026-11-01",
    **{name: 0.9 for name in UNSET if name.startswith("prices.g")},
    "aws.profile": "batch",
    "aws.role_arn": "arn:aws:iam::123456789012:role/team/batchrun",
    "aws.endpoint_url": "http://127.0.0.1:8000/{region}",
    "aws.control_url": "http://127.0.0.1:8001",
    "emulator.window": "sliding",
    "emulator.burst_s": 5,
    "emulator.tpm": 1_000,
    "emulator.rpm": 10,
    'emulator.pools."us-east-1/geo".tpm': 5,
    'emulator.pools."us-east-1/geo".rpm': 5,
    'emulator.pools."us-east-1/geo".tpd': 5,
    "emulator.rtt_ms": 150,
    "emulator.latency_s": 0.5,
    "emulator.latency_per_token_s": 0.01,
    "emulator.faults": {"ValidationException": 0.1},
    "emulator.outages": [{"region": "us-east-1", "kind": "slow"}],
    "emulator.seed": 7,
}
GOES_WITH: dict[str, dict[str, Any]] = {  # keys that a key does not go without; `...` leaves one out
    "prompt.user_file": {"prompt.user": ...},
    "prompt.messages": {"prompt.user": ...},
    "generation.max_tokens_ceiling": {"generation.max_tokens": "auto"},
    "generation.thinking_budget_tokens": {"generation.max_tokens": 4_096},
    "generation.keep_thinking": {"generation.max_tokens": 4_096, "generation.thinking_budget_tokens": 1_024},
    "model.endpoint": {"model.api": "messages", "routing.scopes": ...},
    "model.guardrail_id": {"model.guardrail_version": "1"},
    "model.guardrail_version": {"model.guardrail_id": "gr1abc2def3g"},
    "cache.system": {"prompt.system": "Be brief."},
    "cache.tools": {"prompt.tools": [TOOL]},
    "cache.messages": {"prompt.messages": "turns", "prompt.user": ...},
    "cache.ttl": {"cache.system": True, "prompt.system": "Be brief."},
    **{name: {"prices.date": "2026-11-01"} for name in UNSET if name.startswith("prices.g")},
    **{name: {"aws.endpoint_url": "emulator"} for name in SET if name.startswith("emulator.")},
}


def name_of(key: str) -> str:
    """Return a key as keys() has it: what the user named is `*`."""
    return re.sub('"[^"]*"', "*", key)


def value_of(spec: Any, key: str) -> Any:
    """Return what a job has for a key."""
    for segment in parsed(f"{key}=")[0]:
        if isinstance(spec, Mapping):
            spec = spec[segment]
        else:
            (attribute,) = (name for name, one in type(spec).model_fields.items() if (one.alias or name) == segment)
            spec = getattr(spec, attribute)
    return spec


def test_the_keys_are_those_of_the_contract_and_the_named_ones_beside_it():
    assert {key.name for key in keys()} == REQUIRED | DEFAULTS.keys() | EMULATOR | BESIDES
    assert {key.name for key in keys() if key.required} == REQUIRED


def test_defaults_are_those_of_the_contract(build):
    spec = build()
    given = {"prompt.user", "routing.scopes"}
    of_no_table = {name for name in DEFAULTS if "*" in name or name.startswith("prices.")}
    had = {name: value_of(spec, name) for name in DEFAULTS.keys() - given - of_no_table}

    assert {key.name: key.default for key in keys() if key.name in DEFAULTS} == DEFAULTS
    assert had == {name: DEFAULTS[name] for name in had}
    assert (dict(spec.quota.pools), spec.prices, spec.emulator) == ({}, None, None)


def test_every_key_of_the_contract_is_set_below():
    assert {name_of(key) for key in SET} == REQUIRED | DEFAULTS.keys() | EMULATOR


@pytest.mark.parametrize("key", SET)
def test_a_key_that_is_set_is_in_force(build, tmp_path, key):
    (tmp_path / "prompt.txt").write_text("Sum up: {{ text }}")
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (default,) = (one.default for one in keys() if one.name == name_of(key))
    spec = build(**GOES_WITH.get(key, {}), **{key: SET[key]})

    assert value_of(spec, key) != default


@pytest.mark.parametrize("key", [key for key in DEFAULTS if key not in UNSET])
def test_a_default_that_is_written_down_changes_nothing(build, key):
    default = DEFAULTS[key]

    assert build(**{key: list(default) if isinstance(default, tuple) else default}) == build()


@pytest.mark.parametrize("table", ["input.storage_options", "output.storage_options"])
def test_an_empty_table_changes_nothing(build, table):
    assert build(**{table: {}}) == build()
