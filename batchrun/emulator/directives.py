"""What a test may ask for inside a prompt: `[[word=value]]` in the last user text.

| directive | effect |
|---|---|
| `[[output_tokens=N]]` | the answer is N tokens long |
| `[[stop_reason=REASON]]` | the answer ends for that reason |
| `[[latency_s=X]]` | the model takes X seconds |
| `[[text=...]]` | the answer is this text instead (everything up to `]]`) |
| `[[fault=KIND]]` | every call with this prompt meets that fault |
| `[[misfit=N]]` | the first N answers with this prompt do not fit the schema that was asked for |
| `[[tool=NAME]]` | the model uses that declared tool; `[[text=...]]` beside it is what it says before |
| `[[thinking_tokens=N]]` | it reasons for N tokens first, where reasoning is on |
| `[[guardrail=INTERVENED]]` | the guardrail blocks the answer, where there is one |
| `[[fault=KIND*N]]` | the first N admitted calls with this prompt do |
"""

import re
from dataclasses import dataclass

from batchrun.emulator.faults import FAULTS

_DIRECTIVE = re.compile(
    r"\[\[(output_tokens|stop_reason|latency_s|text|fault|misfit|tool|thinking_tokens|guardrail)=(.*?)\]\]", re.DOTALL
)
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Directives:
    """The directives of one prompt; None = nothing was asked."""

    output_tokens: int | None = None
    stop_reason: str | None = None
    latency_s: float | None = None
    text: str | None = None
    fault: str | None = None
    fault_times: int | None = None
    misfits: int = 0
    tool: str | None = None
    thinking_tokens: int | None = None
    intervenes: bool = False


NO_DIRECTIVES = Directives()


def read_directives(text: str) -> Directives:
    """Return what `text` asks for; a directive that makes no sense is ignored, as it may be somebody's real text."""
    if "[[" not in text:
        return NO_DIRECTIVES
    asked = dict(_DIRECTIVE.findall(text))
    if not asked:
        return NO_DIRECTIVES
    kind, _, times = asked.get("fault", "").partition("*")
    output_tokens, latency_s = asked.get("output_tokens", ""), asked.get("latency_s", "")
    return Directives(
        output_tokens=int(output_tokens) if output_tokens.isdecimal() else None,
        stop_reason=asked.get("stop_reason"),
        latency_s=float(latency_s) if _NUMBER.fullmatch(latency_s) else None,
        text=asked.get("text"),
        fault=kind if kind in FAULTS else None,
        fault_times=int(times) if times.isdecimal() else None,
        misfits=int(misfits) if (misfits := asked.get("misfit", "")).isdecimal() else 0,
        tool=asked.get("tool"),
        thinking_tokens=int(thoughts) if (thoughts := asked.get("thinking_tokens", "")).isdecimal() else None,
        intervenes=asked.get("guardrail") == "INTERVENED",
    )
