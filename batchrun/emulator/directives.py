"""What a test may ask for inside a prompt: `[[word=value]]` in the last user text.

| directive | effect |
|---|---|
| `[[output_tokens=N]]` | the answer is N tokens long |
| `[[stop_reason=REASON]]` | the answer ends for that reason |
| `[[latency_s=X]]` | the model takes X seconds |
| `[[text=...]]` | the answer is this text instead (everything up to `]]`) |
| `[[fault=KIND]]` | every call with this prompt meets that fault |
| `[[fault=KIND*N]]` | the first N admitted calls with this prompt do |
"""

import re
from dataclasses import dataclass

from batchrun.emulator.faults import FAULTS

_DIRECTIVE = re.compile(r"\[\[(output_tokens|stop_reason|latency_s|text|fault)=(.*?)\]\]", re.DOTALL)
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
    )
