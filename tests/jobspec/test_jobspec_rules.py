"""Each rule of the job file: what is refused, and in which words."""

import datetime

import pytest

from batchrun.jobspec import RESULT_COLUMNS

INT = "must be a whole number"
NUMBER = "must be a number"
IN_FLIGHT = 'must be "auto" or a whole number ≥ 1'
FAILED = "must be a whole number of rows ≥ 0, or a share of them from 0.0 to 1.0"
RESIDENCY = 'must be "us", "eu", "au" or a list of Regions such as ["us-east-1", "us-west-2"]'
REGION = 'must be a Region such as "us-east-1"'
NAME = "must be 1 to 100 letters, digits, '-', '_' or '.', the first a letter or a digit"
PATHS = "must be a string or a list of strings"
DURATION = 'must be a duration such as "20s", "1h30m", "2h" or "1d", or a number of seconds'
ARN = 'must look like "arn:aws:iam::123456789012:role/batchrun"'
DATE = "must be a date such as 2026-11-01"
SHORTEST = {"generation.max_tokens": 0, "retry.max_attempts": 0, "limits.rows": 0, "output.rows_per_part": 0}

BOUNDS = [
    *((key, value, "must be ≥ 1") for key, value in SHORTEST.items()),
    ("name", "", NAME),
    ("name", "a/b", NAME),
    ("name", "..", NAME),
    ("name", "a\n", NAME),
    ("name", 5, "must be a string"),
    ("input.path", "", "must not be empty"),
    ("input.path", [], "must name at least one file, folder or glob"),
    ("input.path", 5, PATHS),
    ("input.path", ["a", 5], PATHS),
    ("input.path", "gs://bucket/a", "must be a local path or s3://, not gs://"),
    ("input.path", "a\0b", "must hold no NUL character"),
    ("input.path", ["a", ""], "must not be empty"),
    ("input.id", "", "must not be empty"),
    ("input.keep", "stars", "must be a list"),
    ("input.keep", ["a", "b", "a"], "names a more than once"),
    ("prompt.messages", 5, "must be a string"),
    ("generation.max_tokens", 512.0, INT),
    ("generation.max_tokens", True, INT),
    ("generation.max_tokens", "512", f"{INT}, without quotes"),
    ("generation.max_tokens", "many", f'{INT} or "auto"'),
    ("generation.max_tokens", 2**63, "must be ≤ 9223372036854775807"),
    ("generation.temperature", -0.1, "must be ≥ 0.0"),
    ("generation.temperature", 1.5, "must be ≤ 1.0"),
    ("generation.temperature", "0.5", f"{NUMBER}, without quotes"),
    ("generation.top_p", 2, "must be ≤ 1.0"),
    ("generation.top_p", float("nan"), "must be a finite number"),
    ("generation.stop_sequences", "END", "must be a list"),
    ("model.card", "", "must not be empty"),
    ("model.api", "invok", 'must be "invoke", "converse" or "messages"'),
    ("model.endpoint", "control", 'must be "runtime" or "mantle"'),
    ("routing.scopes", "us", "must be a list"),
    ("routing.scopes", [], "must not be empty"),
    ("routing.scopes", ["us", "us"], "names us more than once"),
    ("routing.source_regions", [], "must not be empty"),
    ("routing.source_regions", ["us-east-1", "us-east-1"], "names us-east-1 more than once"),
    ("routing.residency", "uk", RESIDENCY),
    ("routing.residency", [], RESIDENCY),
    ("routing.residency", ["us"], REGION),
    ("quota.tokens_per_minute", -1, "must be ≥ 0"),
    ("quota.requests_per_minute", 1.5, INT),
    ("quota.tokens_per_day", "x", INT),
    ("quota.share", 0, "must be > 0.0"),
    ("quota.share", 1.5, "must be ≤ 1.0"),
    ("quota.global_pool", "one", 'must be "per_region" or "shared"'),
    ('quota.pools."us-east-1/geo".tokens_per_minute', -5, "must be ≥ 0"),
    ("retry.budget", 0, "must be > 0.0"),
    ("retry.budget", 1.1, "must be ≤ 1.0"),
    ("limits.max_in_flight", 0, IN_FLIGHT),
    ("limits.max_in_flight", 1.0, IN_FLIGHT),
    ("limits.max_in_flight", True, IN_FLIGHT),
    ("limits.max_in_flight", "all", IN_FLIGHT),
    ("limits.max_cost_usd", 0, "must be > 0.0"),
    ("limits.max_cost_usd", float("inf"), "must be a finite number"),
    ("limits.deadline", 0, "must be longer than 0 s"),
    ("limits.deadline", "soon", DURATION),
    ("limits.drain", -1, DURATION),
    ("limits.max_failed", -1, FAILED),
    ("limits.max_failed", 1.01, FAILED),
    ("limits.max_failed", True, FAILED),
    ("limits.max_failed", "5%", FAILED),
    ("limits.rows", 1.0, INT),
    ("output.path", "", "must not be empty"),
    ("output.path", ["a"], "must be a string"),
    ("output.path", "gs://bucket/out", "must be a local path, not gs://"),
    ("output.rows_per_part", 1_000_001, "must be ≤ 1000000"),
    ("aws.profile", "", "must not be empty"),
    ("aws.role_arn", "batchrun", ARN),
    ("aws.role_arn", "arn:aws:iam::123456789012:user/me", ARN),
    ("generation", 5, "must be a table"),
    ("quota.pools", [1], "must be a table"),
]


def toml(value):
    if isinstance(value, str):
        return f'"{value}"'.replace("\n", "\\n").replace("\0", "\\u0000")
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return {"True": "true", "nan": "NaN", "inf": "Infinity"}.get(str(value), str(value))


@pytest.mark.parametrize(("key", "value", "rule"), BOUNDS, ids=[f"{key}-{value!r}" for key, value, _ in BOUNDS])
def test_a_value_out_of_bounds_is_refused_with_key_value_and_bound(refusal, key, value, rule):
    assert refusal(**{key: value}) == [f"x.toml: {key} = {toml(value)}: {rule}"]


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("input.keep", ["a", 3], "x.toml: input.keep[1] = 3: must be a string"),
        ("input.keep", [""], 'x.toml: input.keep[0] = "": must not be empty'),
        (
            "generation.stop_sequences",
            ["END", "\n"],
            'x.toml: generation.stop_sequences[1] = "\\n": must hold more than white space',
        ),
        (
            "routing.scopes",
            ["us", "uk"],
            'x.toml: routing.scopes[1] = "uk": must be "us", "eu", "au" or "global"',
        ),
        ("routing.scopes", ["uk"], 'x.toml: routing.scopes[0] = "uk": must be "us", "eu", "au" or "global"'),
        ("routing.source_regions", ["Ohio"], f'x.toml: routing.source_regions[0] = "Ohio": {REGION}'),
    ],
)
def test_a_wrong_place_in_a_list_is_named(refusal, key, value, line):
    assert refusal(**{key: value}) == [line]


def test_a_long_value_is_cut_short(refusal):
    [line] = refusal(name="/" * 1_000)

    assert line == f'x.toml: name = "{"/" * 78}…: {NAME}'


@pytest.mark.parametrize(
    ("key", "example"),
    [
        ("name", 'name = "reviews"'),
        ("input.path", 'path = "data/*.parquet"'),
        ("generation.max_tokens", "max_tokens = 512"),
        ("routing.scopes", 'scopes = ["us", "global"]'),
        ("output.path", 'path = "out/reviews"'),
    ],
)
def test_a_required_key_that_is_missing_is_named_with_an_example(refusal, key, example):
    assert refusal(**{key: ...}) == [f"x.toml: {key}: required, for example {example}"]


def test_a_table_that_is_missing_is_said_key_by_key(refusal):
    assert refusal(generation=..., prompt=...) == [
        (
            'x.toml: prompt.user: required, for example user = "Sum up: {{ text }}"; or prompt.user_file'
            " or prompt.messages"
        ),
        "x.toml: generation.max_tokens: required, for example max_tokens = 512",
    ]


def test_all_problems_are_said_at_once(refusal):
    lines = refusal(**{"generation.max_tokens": 0, "limits.rows": 0, "nme": "x"})

    assert lines == [
        "x.toml: generation.max_tokens = 0: must be ≥ 1",
        "x.toml: limits.rows = 0: must be ≥ 1",
        "x.toml: nme: no such key; did you mean name?",
    ]


@pytest.mark.parametrize("column", RESULT_COLUMNS)
def test_columns_of_the_result_are_not_carried_over(refusal, column):
    rule = f"the result has a column {column} of its own; rename yours in the input"

    assert refusal(**{"input.keep": ["stars", column]}) == [f'x.toml: input.keep = ["stars", "{column}"]: {rule}']
    assert refusal(**{"input.id": column}) == [f'x.toml: input.id = "{column}": {rule}']


def test_the_id_is_not_kept_twice(refusal):
    assert refusal(**{"input.id": "key", "input.keep": ["key"]}) == [
        'x.toml: input.keep = ["key"]: key is input.id and in the result already'
    ]


def test_temperature_and_top_p_exclude_each_other(refusal):
    assert refusal(**{"generation.temperature": 0.5, "generation.top_p": 0.9}) == [
        "x.toml: generation.top_p = 0.9: give generation.temperature or generation.top_p: the model takes one of them"
    ]


AUTO_ALONE = (
    'x.toml: generation.max_tokens_ceiling: required with max_tokens = "auto": the longest answer that a row may get, '
    "for example max_tokens_ceiling = 4096"
)


def test_max_tokens_may_be_learnt_below_a_ceiling(build):
    generation = build(**{"generation.max_tokens": "auto", "generation.max_tokens_ceiling": 4_096}).generation

    assert (generation.max_tokens, generation.longest) == ("auto", 4_096)


def test_a_fixed_max_tokens_is_the_longest_answer(build):
    assert build(**{"generation.max_tokens": 300}).generation.longest == 300


def test_auto_needs_a_ceiling(refusal):
    assert refusal(**{"generation.max_tokens": "auto"}) == [AUTO_ALONE]


def test_a_ceiling_without_auto_is_refused_with_what_to_do(refusal):
    assert refusal(**{"generation.max_tokens_ceiling": 4_096}) == [
        (
            "x.toml: generation.max_tokens_ceiling = 4096: has no effect with max_tokens = 512: leave it out, "
            'or set max_tokens = "auto"'
        )
    ]


@pytest.mark.parametrize(
    ("ceiling", "rule"),
    [(0, "must be ≥ 1"), (4_096.0, INT), ("4096", f"{INT}, without quotes"), (True, INT), ("auto", INT)],
)
def test_a_ceiling_is_a_number_of_tokens(refusal, ceiling, rule):
    [line] = refusal(**{"generation.max_tokens": "auto", "generation.max_tokens_ceiling": ceiling})

    assert line.startswith("x.toml: generation.max_tokens_ceiling = ")
    assert line.endswith(f": {rule}")


def test_a_wrong_max_tokens_is_said_once_whatever_the_ceiling(refusal):
    assert refusal(**{"generation.max_tokens": 0, "generation.max_tokens_ceiling": 5}) == [
        "x.toml: generation.max_tokens = 0: must be ≥ 1"
    ]


@pytest.mark.parametrize(
    "name", ["us-east-1", "us-east-1/", "us-east-1/GEO", "geo/us-east-1", "us.east.1/geo", "us-east-1/geo/x", ""]
)
def test_a_pool_is_named_by_source_region_and_kind(refusal, name):
    [line] = refusal(**{f'quota.pools."{name}"': {}})

    assert line.endswith(': must be named source-Region/geo, /global or /mantle, such as "us-east-1/geo"')


@pytest.mark.parametrize(("failed", "kind"), [(1, int), (1.0, float), (0, int), (0.05, float)])
def test_max_failed_keeps_rows_and_shares_apart(build, failed, kind):
    assert type(build(**{"limits.max_failed": failed}).limits.max_failed) is kind


def test_durations_are_seconds_once_read(build):
    limits = build(**{"limits.deadline": "1h30m", "limits.drain": 5}).limits

    assert (limits.deadline, limits.drain) == (5_400.0, 5.0)


@pytest.mark.parametrize("date", ["2026-11-01", datetime.date(2026, 11, 1)])
def test_private_prices_have_a_date(build, date):
    prices = build(prices={"date": date, "global": {"input": 0.9}, "geo": {"output": 5}}).prices

    assert prices.date == datetime.date(2026, 11, 1)
    assert (prices.global_.input, prices.global_.output, prices.geo.output) == (0.9, None, 5.0)


@pytest.mark.parametrize(
    ("prices", "line"),
    [
        ({}, None),
        ({"geo": {"input": 1}}, "x.toml: prices.date: required, for example date = 2026-11-01"),
        ({"date": "1.11.2026"}, f'x.toml: prices.date = "1.11.2026": {DATE}'),
        ({"date": 2026}, f"x.toml: prices.date = 2026: {DATE}"),
        (
            {"date": datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)},
            f'x.toml: prices.date = "2026-11-01 00:00:00+00:00": {DATE}',
        ),
        ({"date": "2026-11-01", "geo": {"input": -1}}, "x.toml: prices.geo.input = -1: must be ≥ 0.0"),
        (
            {"date": "2026-11-01", "global": {"ouput": 1}},
            "x.toml: prices.global.ouput: no such key; did you mean prices.global.output?",
        ),
    ],
)
def test_prices_are_checked(build, refusal, prices, line):
    if line is None:
        assert build(prices=prices).prices is None  # an empty table is no table
    else:
        assert refusal(prices=prices) == [line]


def test_an_emulator_table_without_an_emulator_is_refused(refusal):
    assert refusal(emulator={"tpm": 5}) == [
        'x.toml: emulator: has no effect without an emulator: set aws.endpoint_url = "emulator"'
    ]


def test_the_emulator_table_is_checked_like_the_others(refusal):
    lines = refusal(**{"aws.endpoint_url": "emulator", "emulator": {"windw": "fixed", "rtt_ms": -1}})

    assert "x.toml: emulator.rtt_ms = -1: must be ≥ 0.0" in lines
    assert "x.toml: emulator.windw: no such key; did you mean emulator.window?" in lines


def test_a_checked_job_does_not_change(build):
    with pytest.raises(ValueError, match="frozen"):
        build().name = "other"


OWN_ARN = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc"


def test_a_lane_of_ones_own_has_the_region_of_its_arn(build):
    (lane,) = build(**{"routing.lane": [{"id": OWN_ARN}]}).routing.lane

    assert lane.source_region == "us-west-2"


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        ({"id": "us.anthropic.claude-x"}, "[0].source_region: required, since the id names no Region"),
        (
            {"id": OWN_ARN, "source_region": "us-east-1"},
            '[0].source_region = "us-east-1": must be the ARN\'s own Region, us-west-2',
        ),
        ({"id": "claude"}, '[0].id = "claude": must be an inference ID such as us.anthropic.claude-…, or the ARN'),
        ({"id": OWN_ARN, "role_arn": "batchrun"}, '[0].role_arn = "batchrun": must look like'),
        ({"id": OWN_ARN, "region": "us-west-2"}, "[0].region: no such key"),
        ({}, "[0].id: required"),
    ],
)
def test_a_wrong_lane_of_ones_own_is_refused_at_its_place(refusal, lane, said):
    lines = refusal(**{"routing.lane": [lane]})

    assert any(line.startswith(f"x.toml: routing.lane{said}") for line in lines), lines


# The model's doors


def test_mantle_takes_no_scopes(refusal, build):
    on_mantle = {"model.api": "messages", "model.endpoint": "mantle"}

    assert refusal(**on_mantle) == [
        'x.toml: routing.scopes = ["us", "global"]: mantle has no inference IDs, its lanes are single Regions: '
        "leave it out"
    ]
    assert build(**on_mantle, routing={"source_regions": ["us-east-1"]}).routing.scopes is None
    assert build(**on_mantle, routing={}).routing.source_regions is None


def test_mantle_speaks_the_messages_api_only(refusal):
    for api in ({}, {"model.api": "converse"}):
        assert refusal(**api, **{"model.endpoint": "mantle"}) == [
            'x.toml: model.endpoint = "mantle": mantle speaks the Messages API only: set model.api = "messages"'
        ]


def test_the_messages_api_goes_over_http_without_being_told(build):
    assert build(**{"model.api": "messages"}).model.carrier == "http"
    assert build(**{"model.api": "messages", "model.transport": "http"}).model.carrier == "http"
    assert build(**{"model.transport": "http"}).model.carrier == "http"
    assert build().model.carrier == "sdk"


@pytest.mark.parametrize(
    ("api", "transport", "why"),
    [
        ("messages", "sdk", 'the SDK has no Messages API: leave it out, or set model.transport = "http"'),
        (
            "converse",
            "http",
            'http carries invoke and messages: set model.api = "invoke", or leave model.transport out for Converse',
        ),
    ],
)
def test_a_transport_that_does_not_carry_the_api_is_refused_by_name(refusal, api, transport, why):
    assert refusal(**{"model.api": api, "model.transport": transport}) == [
        f'x.toml: model.transport = "{transport}": {why}'
    ]


def test_mantle_takes_no_lanes_of_ones_own_and_these_need_no_scopes(refusal, build):
    on_mantle = {"model.api": "messages", "model.endpoint": "mantle"}

    assert refusal(**on_mantle, routing={"lane": [{"id": OWN_ARN}]})[0].endswith(
        "mantle has no inference IDs to have profiles of: leave it out"
    )
    assert build(routing={"lane": [{"id": OWN_ARN}]}).routing.scopes is None
