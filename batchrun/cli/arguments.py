"""Arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Job = Annotated[Path, typer.Argument(metavar="JOB.toml", help="The job file.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the job file, such as limits.max_in_flight=50."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N rows.", metavar="N")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


def overrides(sets: list[str] | None, limit: int | None = None) -> list[str]:
    """Return the keys of the job file that arguments set."""
    return [*(sets or []), *([f"limits.rows={limit}"] if limit is not None else [])]
