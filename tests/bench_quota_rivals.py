"""The rivals of `make bench-quota`: what people write today around aioboto3, one row at a time under a semaphore.

`adaptive` leaves retries to the SDK's adaptive mode, Regions taken in turn. `backoff` turns them off and tries the next
Region after a wait with full jitter. Both make up to ten attempts a row, where AWS's advice is six, then give it up.
"""

import asyncio
import json
import random
import sys
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import aioboto3
import pyarrow as pa
import pyarrow.parquet as pq
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
IN_FLIGHT = 32  # five times what the quotas of the benchmark feed: 4.7 rows a second × 1.3 s
ATTEMPTS = 10
FIRST_WAIT_S = 1.0  # AWS's advice
LONGEST_WAIT_S = 30.0
PASSING = {"ThrottlingException", "ServiceUnavailableException", "InternalServerException", "ModelNotReadyException"}
RETRIES: dict[str, dict[str, Any]] = {
    "adaptive": {"mode": "adaptive", "total_max_attempts": ATTEMPTS},
    "backoff": {"total_max_attempts": 1},
}


async def main(kind: str, folder: Path, url: str, regions: list[str]) -> None:
    texts = pq.read_table(folder / "rows.parquet")["text"].to_pylist()
    config = AioConfig(retries=RETRIES[kind], max_pool_connections=IN_FLIGHT)
    session = aioboto3.Session(aws_access_key_id="bench", aws_secret_access_key="bench")
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                session.client("bedrock-runtime", region_name=region, endpoint_url=f"{url}/{region}", config=config)
            )
            for region in regions
        ]
        turn = cycle(clients)
        send = once if kind == "adaptive" else again_and_again
        answers = await asyncio.gather(*(under(slots, send, turn, text) for text in texts))
    table = pa.table({"row": range(len(answers)), "text": pa.array(answers, pa.string())})
    pq.write_table(table, folder / f"{kind}.parquet")
    print(sum(1 for answer in answers if answer is not None))


async def under(slots: asyncio.Semaphore, send: Any, turn: Any, text: str) -> str | None:
    async with slots:
        answer: str | None = await send(turn, text)
        return answer


async def once(turn: Any, text: str) -> str | None:
    """Send a row and leave the rest to the SDK; None if it gave up."""
    try:
        return await invoke(next(turn), text)
    except (BotoCoreError, ClientError):
        return None


async def again_and_again(turn: Any, text: str) -> str | None:
    """Send a row up to ATTEMPTS times, each to the next Region; None if none took it."""
    for attempt in range(ATTEMPTS):
        try:
            return await invoke(next(turn), text)
        except ClientError as error:
            if error.response["Error"]["Code"] not in PASSING:
                return None
        except BotoCoreError:
            pass  # a connection that was lost
        await asyncio.sleep(random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)))
    return None


async def invoke(client: Any, text: str) -> str:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": text}],
    }
    answer = await client.invoke_model(modelId=MODEL, body=json.dumps(body))
    return str(json.loads(await answer["body"].read())["content"][0]["text"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
