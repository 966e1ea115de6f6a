"""Every key of the contract's table is in force, or refused with the title of the issue that brings it."""

import pytest

B, C, D = "At the limit", "Nothing lost", "The whole model card"

IN_FORCE = {
    "name": "other",
    "input.path": ["a.parquet", "b/*.jsonl", "S3://bucket/c/*.parquet"],
    "input.storage_options": {"endpoint": "http://127.0.0.1:9000", "region": "eu-central-1", "profile": "data"},
    "input.id": "review_id",
    "input.keep": ["stars", "a b"],
    "prompt.system": "Be brief.",
    "prompt.user": "{{ row['a b'] }}",
    "prompt.prefill": "{",
    "prompt.images": ["photo", "b c"],
    "prompt.tools": [{"name": "look", "input_schema": {"type": "object"}}],
    "generation.max_tokens": 64_000,
    "generation.temperature": 0,
    "generation.top_p": 0.9,
    "generation.stop_sequences": ["\n\nHuman:"],
    "generation.schema": {"type": "object", "properties": {"label": {"type": "string"}}},
    "model.card": "cards/own.toml",
    "model.api": "messages",
    "model.endpoint": "runtime",
    "model.service_tier": "flex",
    "model.request_metadata": {"team": "reviews", "cost centre": "a:b/c=1"},
    "model.transport": "http",
    'quota.pools."us-east-1/mantle".tokens_per_minute': 5,
    "routing.scopes": ["us", "eu", "au", "global"],
    "routing.source_regions": ["us-east-1", "us-gov-west-1"],
    "routing.residency": ["us-east-1", "us-west-2"],
    "quota.tokens_per_minute": 0,
    "quota.requests_per_minute": 10_000,
    "quota.tokens_per_day": 5,
    'quota.pools."us-east-1/geo".tokens_per_minute': 5,
    'quota.pools."us-east-1/global".requests_per_minute': 0,
    'quota.pools."ap-southeast-2/geo".tokens_per_day': 7,
    "quota.global_pool": "shared",
    "cache": {"system": False, "tools": False, "messages": False, "ttl": "5m"},
    "retry.max_attempts": 1,
    'quota.pools."222222222222:us-east-1/geo".tokens_per_minute': 5,
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
    "sink": [{"type": "jsonl", "path": "lines"}, {"type": "postgres", "table": "reviews", "dsn_env": "REVIEWS"}],
    "prices": {"date": "2026-11-01", "geo": {"input": 0.9, "cache_write_1h": 0}, "global": {"output": 4}},
    "aws.profile": "batch",
    "aws.role_arn": "arn:aws:iam::123456789012:role/team/batchrun",
    "aws.endpoint_url": "http://127.0.0.1:8000/{region}",
    "aws.control_url": "http://127.0.0.1:8001",
    "quota.discover": False,
    "routing.lane": [
        {"id": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x", "scope": "us"},
        {"id": "us.anthropic.claude-haiku-4-5-20251001-v1:0", "source_region": "us-east-1", "profile": "b"},
    ],
}

HARMLESS = {
    "quota.share": 1.0,
    "cache": {"system": False, "tools": False, "messages": False, "ttl": "5m"},
    "dedupe": False,
    "quota.discover": True,
    "model.transport": "sdk",
    "generation.keep_thinking": False,
    "sink": [],
    "routing.lane": [],
    "prompt.images": [],
    "prompt.tools": [],
    "model.request_metadata": {},
    "input.storage_options": {},
    "output.storage_options": {},
}

FILES = ["prompt.system_file", "prompt.user_file"]
EMULATOR = {
    "window": "sliding",
    "burst_s": 5,
    "tpm": 1_000,
    "rpm": 10,
    "pools": {"us-east-1/geo": {"tpm": 5}},
    "rtt_ms": 150,
    "latency_s": 0.5,
    "latency_per_token_s": 0.01,
    "faults": {},
    "outages": [],
    "seed": 7,
}


@pytest.mark.parametrize(("key", "value"), IN_FORCE.items(), ids=IN_FORCE)
def test_a_key_of_the_main_job_is_in_force(build, key, value):
    build(**{key: value})


@pytest.mark.parametrize(("key", "value"), HARMLESS.items(), ids=HARMLESS)
def test_a_key_that_says_what_happens_anyway_changes_nothing(build, key, value):
    assert build(**{key: value}) == build()


@pytest.mark.parametrize("key", FILES)
def test_prompts_may_stand_in_files(build, tmp_path, key):
    (tmp_path / "prompt.txt").write_text("Sum up: {{ text }}")

    build(**{"prompt.user": ... if key == "prompt.user_file" else "x", key: "prompt.txt"})


def test_messages_stand_instead_of_user(build):
    assert build(**{"prompt.user": ..., "prompt.messages": "turns"}).prompt.messages == "turns"


def test_the_emulator_is_configured_in_full(build):
    spec = build(**{"aws.endpoint_url": "emulator", "emulator": EMULATOR})

    assert spec.emulator is not None
    assert spec.emulator.window == "sliding"
    assert spec.emulator.pools["us-east-1/geo"].tpm == 5


def test_defaults_are_those_of_the_contract(build):
    spec = build()

    assert (spec.input.id, spec.input.keep) == (None, ())
    assert (spec.generation.temperature, spec.generation.top_p, spec.generation.stop_sequences) == (None, None, ())
    assert (spec.model.card, spec.model.api, spec.model.endpoint) == ("claude-haiku-4-5", "invoke", "runtime")
    assert (spec.routing.source_regions, spec.routing.residency) == (None, None)
    assert (spec.quota.tokens_per_minute, spec.quota.requests_per_minute, spec.quota.tokens_per_day) == (None,) * 3
    assert (dict(spec.quota.pools), spec.quota.share, spec.quota.global_pool) == ({}, 1.0, "per_region")
    assert (spec.retry.max_attempts, spec.retry.budget) == (6, 0.2)
    assert (spec.limits.max_in_flight, spec.limits.max_cost_usd, spec.limits.deadline) == ("auto", None, None)
    assert (spec.limits.drain, spec.limits.max_failed, spec.limits.rows) == (20.0, 0, None)
    assert (spec.output.rows_per_part, spec.prices, spec.emulator) == (10_000, None, None)
    assert (spec.aws.profile, spec.aws.role_arn, spec.aws.endpoint_url) == (None, None, None)
