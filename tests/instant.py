"""Runs a job whose calls are answered at once, in the process: what a run costs without HTTP."""

import sys
from pathlib import Path

import anyio
import anyio.lowlevel

from batchrun.api import StandIns, arun
from batchrun.records import Completion, Request, Usage


class InstantTransport:
    """Answers every request with the same words."""

    async def send(self, inference_id: str, source_region: str, request: Request) -> Completion:
        del inference_id, source_region
        await anyio.lowlevel.checkpoint()
        usage = Usage(input=request.input_tokens, output=20)
        return Completion("[emulated] a short answer", "end_turn", usage, f"emulated-{request.row}")

    async def refresh(self) -> None:
        """Nothing to read again."""


async def main(job: Path) -> int:
    summary = await arun(job, stand_ins=StandIns(InstantTransport()))
    return int(summary["exit_code"])


if __name__ == "__main__":
    sys.exit(anyio.run(main, Path(sys.argv[1])))
