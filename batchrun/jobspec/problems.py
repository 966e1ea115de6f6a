"""One thing that is wrong with a job file, and how keys and values are written in its message."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]  # a key, segment by segment; a place in a list is "[0]"

SHOWN_CHARACTERS = 80
BARE = re.compile(r"[A-Za-z0-9_-]+|\*")
PLACE = re.compile(r"\[[0-9]+\]")
USER_AND_PASSWORD = re.compile(r"//[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at `path`; `text` follows the key: ` = VALUE: …` or `: …`."""

    path: Path
    text: str

    def line(self, source: str) -> str:
        """Write the problem as one line about the job file `source`."""
        return f"{source}: {dotted(self.path)}{self.text}"


def dotted(path: Path) -> str:
    """Write a key as TOML does, with quotes where it needs them."""
    written = ""
    for segment in path:
        if PLACE.fullmatch(segment):
            written += segment
        else:
            name = segment if BARE.fullmatch(segment) else json.dumps(segment, ensure_ascii=False)
            written += f".{name}" if written else name
    return written


def shown(path: Path, value: Any) -> str:
    """Write a value as in TOML, cut short; prompts and passwords are not shown."""
    if path[:1] == ("prompt",) and isinstance(value, str) and not path[-1].endswith("_file"):
        return f"({len(value)} characters)"
    if path[:1] == ("prompt",) and isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        return f"({len(value)} tables)"
    if path[-1] == "dsn":
        return "(not shown)"
    written = json.dumps(value, ensure_ascii=False, default=str)
    written = USER_AND_PASSWORD.sub("//…@", written)
    return written if len(written) <= SHOWN_CHARACTERS else f"{written[: SHOWN_CHARACTERS - 1]}…"


def value_at(raw: Any, path: Path) -> Any:
    """Return the value at `path`, None where there is none."""
    for segment in path:
        if isinstance(raw, list | tuple) and PLACE.fullmatch(segment):
            raw = raw[int(segment[1:-1])]
        elif isinstance(raw, Mapping):
            raw = raw.get(segment)
        else:
            return None
    return raw
