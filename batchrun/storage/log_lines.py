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


def sent_line(row: int, worst_usd: float) -> bytes:
    """Return the line that says that a call for `row` goes out and may cost up to `worst_usd`."""
    return line_of(b'{"sent":%d,"usd":%.9f}' % (row, worst_usd))


def unsettled_line(row: int, worst_usd: float) -> bytes:
    """Return the line that says that a call for `row` ended unknown and may have been billed up to `worst_usd`."""
    return line_of(b'{"unsettled":%d,"usd":%.9f}' % (row, worst_usd))


def paid_line(row: int, spent_usd: float) -> bytes:
    """Return the line that says what an answer for `row` cost that is not its last."""
    return line_of(b'{"paid":%d,"usd":%.9f}' % (row, spent_usd))


def again_line(digest: str) -> bytes:
    """Return the line that says which part the log was made from, to send some of its rows again."""
    return line_of(b'{"again":"%s"}' % digest.encode())


def earlier_line(outcome: Outcome) -> bytes:
    """Return the line that holds an outcome which is to be replaced by a better one."""
    return _outcome_line(b"earlier", outcome)


def outcome_line(outcome: Outcome) -> bytes:
    """Return the line that holds a row's outcome."""
    return _outcome_line(b"outcome", outcome)


def _outcome_line(kind: bytes, outcome: Outcome) -> bytes:
    values = list(_values(outcome))
    usage = outcome.usage
    values[_USAGE] = (usage.input, usage.output, usage.cache_read, usage.cache_write)
    return line_of(b'{"%s":%s}' % (kind, _encode(values).encode()))


def outcome_of(values: Sequence[Any]) -> Outcome:
    """Return the outcome that a line holds."""
    whole = list(values)
    whole[_STATUS] = _STATUSES[whole[_STATUS]]
    whole[_USAGE] = Usage(*whole[_USAGE])
    return Outcome(*whole)
