"""Runs a job whose calls are answered at once, in the process: what a run costs without HTTP."""

import json
import sys
import time
from pathlib import Path

import anyio
import anyio.lowlevel

from batchrun.api import StandIns, arun
from batchrun.records import Completion, Request, Usage


class InstantTransport:
    """Answers every request with the same words; `first_call_at_s` is when the first came, by time.time()."""

    first_call_at_s: float | None = None

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion:
        del inference_id, source_region
        if self.first_call_at_s is None:
            self.first_call_at_s = time.time()
        await anyio.lowlevel.checkpoint()
        usage = Usage(input=request.input_tokens, output=20)
        return Completion("[emulated] a short answer", "end_turn", usage, f"emulated-{request.row}")

    async def refresh(self) -> None:
        """Nothing to read again."""


async def main(job: Path) -> int:
    transport = InstantTransport()
    summary = await arun(job, stand_ins=StandIns(transport))
    print(json.dumps({"rows": summary["rows"], "first_call_at_s": transport.first_call_at_s}))
    return int(summary["exit_code"])


if __name__ == "__main__":
    sys.exit(anyio.run(main, Path(sys.argv[1])))
