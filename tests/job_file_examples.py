"""The examples of docs/job-file.md, by the heading that they stand under; each of them loads."""

EXAMPLES = {
    "[input]": """\
[input]
path = ["data/2026-*.parquet", "s3://my-bucket/reviews"]
id = "review_id"
keep = ["language"]
storage_options = { endpoint = "https://minio.example.org:9000", region = "us-east-1" }
""",
    "[[prompt.tools]]": """\
[[prompt.tools]]
name = "look_up"
description = "Looks a word up."
input_schema = { type = "object", properties = { word = { type = "string" } } }
""",
    "[generation]": """\
[generation]
max_tokens = "auto"
max_tokens_ceiling = 4096
schema = { type = "object", properties = { stars = { type = "integer" } }, required = ["stars"] }
""",
    "[model]": """\
[model]
transport = "http"
guardrail_id = "gr1abc2def3g"
guardrail_version = "1"
request_metadata = { team = "reviews" }
""",
    "[routing]": """\
[routing]
scopes = ["us", "global"]
source_regions = ["us-east-1", "us-west-2"]
residency = ["us-east-1", "us-east-2", "us-west-2"]
""",
    "[[routing.lane]]": """\
[[routing.lane]]
id = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"

[[routing.lane]]
id = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
source_region = "us-east-1"
role_arn = "arn:aws:iam::222222222222:role/batchrun"
""",
    "[quota]": """\
[quota]
tokens_per_minute = 400_000
pools."us-east-1/geo".tokens_per_minute = 2_000_000
pools."us-east-1/geo".requests_per_minute = 1_000
share = 0.5
""",
    "[limits]": """\
[limits]
max_cost_usd = 50
max_failed = 0.01
deadline = "6h"
""",
    "[output]": """\
[output]
path = "s3://my-bucket/out/reviews"
storage_options = { profile = "batch", region = "eu-central-1" }
""",
    '[[sink]] type = "jsonl"': """\
[[sink]]
type = "jsonl"
path = "out/reviews-jsonl"
compression = "zstd"
""",
    '[[sink]] type = "delta"': """\
[[sink]]
type = "delta"
path = "s3://my-lake/reviews"
storage_options = { endpoint = "https://minio.example.org:9000", region = "us-east-1" }
""",
    '[[sink]] type = "postgres"': """\
[[sink]]
type = "postgres"
table = "reviews"
dsn = "host=db.internal dbname=analytics user=batch"
""",
    "[prices]": """\
[prices]
date = 2026-11-01
global = { input = 0.90, output = 4.50 }
geo = { input = 0.99, output = 4.95, cache_read = 0.099 }
""",
    "[emulator]": """\
[aws]
endpoint_url = "emulator"

[emulator]
window = "sliding"
tpm = 50_000
pools."us-east-1/geo" = { tpm = 100_000, tpd = 5_000_000 }
faults = { ServiceUnavailableException = 0.02, reset = 0.01 }
denied = ["ListServiceQuotas"]
destinations."us-east-1/us" = ["us-east-1", "us-west-2"]
profiles."arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123" = "us"
accounts.AKIAIOSFODNN7EXAMPLE = "222222222222"
""",
    "[[emulator.tenants]]": """\
[aws]
endpoint_url = "emulator"

[[emulator.tenants]]
pool = "us-east-1/geo"
share = 0.5
from_s = 120
to_s = 240
""",
    "[[emulator.outages]]": """\
[aws]
endpoint_url = "emulator"

[[emulator.outages]]
region = "*"
kind = "InternalServerException"
share = 0.2
from_s = 10
to_s = 70
""",
}
