"""Answers that no model should give: kept as data, counted as they are, and never raw on a terminal."""

from pathlib import Path

import anyio
import pytest

from batchrun.api import StandIns, arun, verify
from batchrun.bedrock.answers import MalformedAnswerError, read_converse_answer, read_invoke_answer
from batchrun.bedrock.faults import Fault
from batchrun.records import Completion, Request, Usage
from batchrun.screen.summary import summary_text
from tests.run.rehearsal import job, results

EVIL = "\x1b[2J\x1b]0;owned\x07\r\n\0\x9b31m\u202e<script>alert(1)</script>\ufeff"


class Parrot:
    """A transport that answers the same to every call."""

    def __init__(self, answer: Completion) -> None:
        self._answer = answer

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion | Fault:
        """Answer."""
        del inference_id, source_region, request
        return self._answer

    async def refresh(self) -> None:
        """Have nothing to read again."""


def run(folder: Path, answer: Completion, prompts: list[str]) -> tuple[dict[str, object], list[dict[str, object]]]:
    spec = job(folder, prompts)

    async def whole() -> dict[str, object]:
        return await arun(spec, stand_ins=StandIns(Parrot(answer)))

    summary = anyio.run(whole)
    if summary["exit_code"] == 0:
        assert verify(spec) == []
    return summary, results(spec)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (EVIL, EVIL),
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("a pair \ud83d\ude00", "a pair 😀"),
        ("", ""),
        ("x" * 300_000,) * 2,
    ],
    ids=["control characters", "half a pair", "a pair in halves", "nothing", "long"],
)
def test_any_text_of_an_answer_is_kept(tmp_path: Path, text: str, kept: str) -> None:
    answer = Completion(text, "end_turn", Usage(3, 5), request_id=EVIL, service_tier="default")
    summary, rows = run(tmp_path, answer, ["a", "b"])

    assert (summary["exit_code"], [row["text"] for row in rows]) == (0, [kept, kept])
    assert rows[0]["request_id"] == EVIL


def test_a_reason_to_stop_that_nobody_knows_is_told_in_one_line(tmp_path: Path) -> None:
    summary, rows = run(tmp_path, Completion("x", EVIL * 50, Usage(3, 5)), ["a", "b"])
    told = summary_text(summary)

    assert [row["status"] for row in rows] == ["refused", "refused"]
    assert rows[0]["stop_reason"] == EVIL * 50
    assert not set(told) & {"\x1b", "\r", "\0", "\x9b", "\u202e"}
    assert sum("refused" in line and "such as row 0" in line for line in told.splitlines()) == 1


BAD_BODIES = [
    b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"usage":1}', b'{"content":1,"usage":{}}',
    b'{"content":[{"type":"text"}],"stop_reason":"x","usage":{"input_tokens":1,"output_tokens":1}}',
    b'{"content":[],"stop_reason":"x","usage":{"input_tokens":-1,"output_tokens":1}}',
    b'{"content":[],"stop_reason":"x","usage":{"input_tokens":1e400,"output_tokens":1}}',
    b'{"content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}',
    b'{"content":[],"stop_reason":"x","usage":{"input_tokens":true,"output_tokens":1}}',
    b'{"content":[],"stop_reason":"x","usage":{"input_tokens":' + b"9" * 5_000 + b',"output_tokens":1}}',
    b'{"content":[{"type":"text","text":1}],"stop_reason":"x","usage":{"input_tokens":1,"output_tokens":1}}',
    b'{"content":[],"stop_reason":"x","usage":{"input_tokens":99999999999999999999,"output_tokens":1}}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_an_answer_that_is_none_is_a_fault(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        read_invoke_answer(body)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"usage": None},
        {"usage": {"inputTokens": 1, "outputTokens": 1}, "output": {"message": {"content": [1]}}, "stopReason": "x"},
        {"usage": {"inputTokens": 2**63, "outputTokens": 1}, "output": {"message": {"content": []}}, "stopReason": "x"},
    ],
    ids=range(4),
)
def test_an_answer_of_converse_that_is_none_is_a_fault(answer: dict[str, object]) -> None:
    with pytest.raises(MalformedAnswerError):
        read_converse_answer(answer)
