"""A wrong key is answered with the right one."""

import pytest

from batchrun.jobspec import keys


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("generation.max_token", "generation.max_tokens"),
        ("max_tokens", "generation.max_tokens"),
        ("input.max_tokens", "generation.max_tokens"),
        ("max_tokns", "generation.max_tokens"),
        ("path", "input.path or output.path"),
        ("generaton", "generation"),
        ("limits.max_cost", "limits.max_cost_usd"),
        ("max_cost", "limits.max_cost_usd"),
        ("retry.max_atempts", "retry.max_attempts"),
        ("prompt.sistem", "prompt.system"),
        ("model.id", "model.card"),
        ("aws.region", "routing.source_regions"),
        ("concurrency", "limits.max_in_flight"),
        ("cache.sytem", "cache.system"),
        ("model.guardrail", "model.guardrail_id"),
        ("dedup", "dedupe"),
        ("prices.geo.inpt", "prices.geo.input"),
        ('quota.pools."us-east-1/geo".tokens_per_min', 'quota.pools."us-east-1/geo".tokens_per_minute'),
        ('quota.pools."us-east-1/geo".share', "quota.share"),
    ],
)
def test_a_misspelt_or_misplaced_key_is_answered_with_the_right_one(refusal, wrong, right):
    job = {"prices.date": "2026-11-01", wrong: 1} if wrong.startswith("prices") else {wrong: 1}

    assert refusal(**job) == [f"x.toml: {wrong}: no such key; did you mean {right}?"]


def test_a_key_like_no_other_is_only_refused(refusal):
    assert refusal(zzz=1) == ["x.toml: zzz: no such key"]


def test_a_key_that_looks_like_pydantics_mark_is_a_key(refusal):
    assert refusal(**{'"[key]"': 1}) == ['x.toml: "[key]": no such key']


def test_a_key_that_needs_quotes_is_shown_with_them(refusal):
    assert refusal(**{'"a b\\n"': 1}) == ['x.toml: "a b\\n": no such key']


@pytest.mark.parametrize(
    "key",
    ["aws.secret_access_key", "aws.access_key_id", "aws.session_token", "aws.bearer_token", "api_key", "aws.password"],
)
def test_credentials_in_a_job_file_are_refused_and_not_shown(refusal, key):
    assert refusal(**{key: "hunter2"}) == [
        (
            f"x.toml: {key}: credentials are not put in job files: they come from the AWS chain (aws.profile, the"
            " environment, a role) or from AWS_BEARER_TOKEN_BEDROCK"
        )
    ]


def test_every_key_of_ours_has_a_meaning():
    assert [key.name for key in keys() if not key.meaning] == []


def test_required_keys_come_with_an_example():
    required = {key.name: key.example for key in keys() if key.required}

    assert required.keys() == {"name", "input.path", "generation.max_tokens", "output.path"}
    assert all(required.values())
