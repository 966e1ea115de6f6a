"""The other side of the benchmark: what people write today, an aioboto3 loop with a fixed number of workers."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aioboto3
import pyarrow as pa
import pyarrow.parquet as pq
from aiobotocore.config import AioConfig

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


async def main(folder: Path, url: str, in_flight: int) -> None:
    texts = iter(enumerate(pq.read_table(folder / "rows.parquet")["text"].to_pylist()))
    results: list[tuple[int, str]] = []
    config = AioConfig(retries={"total_max_attempts": 1}, max_pool_connections=in_flight)
    session = aioboto3.Session(aws_access_key_id="bench", aws_secret_access_key="bench")
    endpoint = f"{url}/us-east-1"
    async with session.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=endpoint, config=config
    ) as client:
        await asyncio.gather(*(work(client, texts, results) for _ in range(in_flight)))
    results.sort()
    table = pa.table({"row": [row for row, _ in results], "text": [text for _, text in results]})
    pq.write_table(table, folder / "bare.parquet")


async def work(client: Any, texts: Any, results: list[tuple[int, str]]) -> None:
    for row, text in texts:
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 256,
            "messages": [{"role": "user", "content": text}],
        }
        answer = await client.invoke_model(modelId=MODEL, body=json.dumps(body))
        content = json.loads(await answer["body"].read())["content"]
        results.append((row, content[0]["text"]))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
