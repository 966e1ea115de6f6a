"""No key, token or prompt in a log, status, summary or manifest: every file of a run is searched, and both its streams.

The results may hold what the model answered, and carry over what the job keeps of the input; no credentials.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.redaction import without_credentials, without_echo
from tests.cli.desk import EMULATED, JOB, Desk, lay
from tests.hostile.echo import echoing

KEY, SECRET = "AKIA" + "Z3MXQ7EXAMPLE9K2", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN, BEARER = "FwoGZXIvYXdzEXAMPLE" + "aB3x/" * 40, "bedrock-api-key-" + "YmVkcm9ja0V4YW1wbGU9" * 4
CREDENTIALS = (KEY, SECRET, TOKEN, TOKEN[:60], BEARER, BEARER[:40])
PROMPT, SYSTEM = 'The patient Ada Lovelace, born 1815, «said» "no".', "Judge the confidential note below."
PARTS_OF_PROMPT = ("Ada Lovelace", "patient", "born 1815", "confidential note")
KEYS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
ECHOED = JOB.replace('user = "{{ text }}"', f'user = "{{{{ text }}}}"\nsystem = "{SYSTEM}"')


def searched(desk: Desk, *streams: str) -> dict[str, str]:
    """Return all that a run left, by name: its files as text, its results row by row, and its streams."""
    left = {
        str(path.relative_to(desk.path)): path.read_text(encoding="utf-8", errors="replace")
        for path in desk.folder.path.rglob("*")
        if path.is_file() and path.suffix != ".parquet"
    }
    left["results"] = repr(desk.rows())
    return left | {f"stream {number}": stream for number, stream in enumerate(streams)}


def expect_clean(left: dict[str, str]) -> None:
    for name, text in left.items():
        assert [one for one in CREDENTIALS if one in text] == [], name
        if not name.startswith("wal"):
            assert [one for one in PARTS_OF_PROMPT if one in text] == [], name


def run(desk: Desk, url: str, *options: str) -> dict[str, str]:
    sets = [f"aws.endpoint_url={url}", "retry.max_attempts=1", "limits.drain=0s"]
    result = desk.on_job("run", *(word for one in sets for word in ("--set", one)), *options)
    assert result.exit_code in {1, 3, 4}, result.output
    return searched(desk, result.stdout, result.stderr)


QUOTED = [
    (400, "ValidationException", "keys"),
    (400, "ValidationException", "bearer"),
    (403, "AccessDeniedException", "bearer"),
    (403, "InvalidSignatureException", "keys"),
    (403, "UnrecognizedClientException", "keys"),
    (404, "ResourceNotFoundException", "keys"),
    (500, "InternalServerException", "bearer"),
    (418, None, "keys"),
    (400, "X" * 3_000, "keys"),
]


@pytest.mark.parametrize(("status", "code", "who"), QUOTED)
def test_an_endpoint_that_quotes_what_it_was_sent_is_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str | None, who: str
) -> None:
    for name, value in KEYS.items() if who == "keys" else [("AWS_BEARER_TOKEN_BEDROCK", BEARER)]:
        monkeypatch.setenv(name, value)
    desk = lay(tmp_path, [PROMPT] * 3, ECHOED)
    with echoing(status, code) as url:
        left = run(desk, url)

    expect_clean(left)
    assert any("Canonical String" in text for text in left.values())  # the rest of the message is told


def test_a_quota_that_is_exceeded_is_not_quoted_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    desk = lay(tmp_path, [PROMPT] * 3, ECHOED)
    with echoing(400, "ServiceQuotaExceededException") as url:  # parks the pool, and the run waits
        expect_clean(run(desk, url, "--set", "limits.deadline=1s"))


def test_an_answer_that_is_none_is_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    desk = lay(tmp_path, [PROMPT] * 3, ECHOED)
    with echoing(200, None, as_answer=True) as url:
        left = run(desk, url)

    expect_clean(left)
    assert "MalformedAnswer" in left["summary.json" if "summary.json" in left else "out/summary.json"]


def test_keys_of_a_profile_are_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "credentials"
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    lines = [f"{name} = {value}" for name, value in zip(names, KEYS.values(), strict=True)]
    shared.write_text("\n".join(["[batch]", *lines]))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    desk = lay(tmp_path, [PROMPT] * 3, ECHOED)
    with echoing(403, "InvalidSignatureException") as url:
        left = run(desk, url, "--set", "aws.profile=batch")

    expect_clean(left)


def test_a_run_that_ends_well_leaves_no_prompt_but_in_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    desk = lay(tmp_path, [f"{PROMPT} [[output_tokens=2]]"] * 3, ECHOED + EMULATED)
    result = desk.on_job("run")
    assert result.exit_code == 0, result.output
    for command in ("status", "verify", "plan"):
        result = desk.on_job(command)
        expect_clean(searched(desk, result.stdout, result.stderr))


def test_a_bug_of_ours_tells_where_and_not_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError(f"{PROMPT} {SECRET}")

    monkeypatch.setattr("batchrun.render.Renderer.prompt", broken)
    desk = lay(tmp_path, [PROMPT] * 3, ECHOED + EMULATED)
    result = desk.on_job("run", "--json")

    assert result.exit_code == 3
    assert "internal error: RuntimeError" in result.stderr
    assert "in broken" in result.stderr
    assert json.loads(result.stdout)["exit_code"] == 3
    expect_clean(searched(desk, result.stdout, result.stderr))


def test_a_row_that_cannot_be_rendered_is_not_quoted(tmp_path: Path) -> None:
    desk = lay(tmp_path, [PROMPT] * 3, JOB.replace("{{ text }}", "{{ text|int(base=text) }}{{ [][text] }}") + EMULATED)
    result = desk.on_job("run")

    assert result.exit_code == 1
    expect_clean(searched(desk, result.stdout, result.stderr))


# The rule itself


@pytest.mark.parametrize(
    "message",
    [
        f"Authorization: Bearer {BEARER}",
        f"'authorization': 'AWS4-HMAC-SHA256 Credential={KEY}/20261101/us-east-1/bedrock/aws4_request, Signature=ab12'",
        f"x-amz-security-token:{TOKEN}\nhost:x",
        f'{{"SessionToken": "{TOKEN}", "SecretAccessKey": "{SECRET}"}}',
        f"aws_secret_access_key={SECRET}",
        f"the key {SECRET} was refused",
        f"proxy http://me:{SECRET}@10.0.0.1:3128 said no",
        f"https://x/?X-Amz-Credential={KEY}%2F2026&X-Amz-Signature=0a1b",
        "x" * 1_990 + SECRET,
    ],
)
def test_credentials_are_known_by_their_looks(message: str) -> None:
    told = without_credentials(message)

    assert not any(one in told for one in (KEY, SECRET, TOKEN, BEARER, "ab12", "0a1b"))
    assert len(told) < 2_020


@pytest.mark.parametrize(
    "message",
    [
        "Too many tokens, please wait before trying again.",
        "User: arn:aws:sts::123456789012:assumed-role/batch/i-0abc is not authorized to perform: bedrock:InvokeModel on"
        " resource: arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-2025-v1:0",
        "The provided model identifier is invalid. (Request ID: 5a1b7c8d-0123-4567-89ab-cdef01234567)",
        "max_tokens: 300000 > 64000, which is the maximum allowed number of output tokens",
    ],
)
def test_what_aws_says_otherwise_stays(message: str) -> None:
    assert without_credentials(message) == message


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(min_size=18, max_size=60), st.text(max_size=20), st.text(max_size=20), st.integers(0, 10), st.booleans())
def test_eighteen_characters_of_a_prompt_are_never_told(
    prompt: str, before: str, after: str, first: int, as_json: bool
) -> None:
    echo = prompt[first : first + 40]
    if len(echo) < 18:
        return
    told = without_echo(before + (json.dumps(echo) if as_json else echo) + after, ["system", prompt])

    assert echo not in told


def test_a_prompt_of_a_megabyte_is_looked_for_in_a_moment() -> None:
    prompt = "".join(f"{number} " for number in range(150_000))

    assert without_echo(f"you said: {prompt[500_000:500_900].strip()}!", [prompt]) == "you said:[of the prompt]!"
