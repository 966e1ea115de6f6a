"""The lines of a write-ahead log: a checksum, a space and JSON, so that a torn or damaged line shows."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from batchrun.records import Outcome, Status, Usage

# An outcome is the list of its fields in their order: half the time to write, and no names 16 times a row. A field
# that is added to the end of Outcome, with a default, does not make older logs unreadable.
_NAMES = tuple(one.name for one in fields(Outcome))
_USAGE = _NAMES.index("usage")
_STATUS = _NAMES.index("status")
_STATUSES = {status.value: status for status in Status}
_values = attrgetter(*_NAMES)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once: json.dumps makes one for every line


def line_of(content: bytes) -> bytes:
    """Return a whole line."""
    return b"%08x %s\n" % (zlib.crc32(content), content)


def content_of(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, None if its checksum does not fit it."""
    try:
        text = line[9:].decode("ascii")  # json would look for the encoding first
        content = json.loads(text) if int(line[:8], 16) == zlib.crc32(line[9:-1]) else None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def outcome_line(outcome: Outcome) -> bytes:
    """Return the line that holds a row's outcome."""
    values = list(_values(outcome))
    usage = outcome.usage
    values[_USAGE] = (usage.input, usage.output, usage.cache_read, usage.cache_write)
    return line_of(b'{"outcome":%s}' % _encode(values).encode())


def outcome_of(values: Sequence[Any]) -> Outcome:
    """Return the outcome that a line holds."""
    whole = list(values)
    whole[_STATUS] = _STATUSES[whole[_STATUS]]
    whole[_USAGE] = Usage(*whole[_USAGE])
    return Outcome(*whole)
