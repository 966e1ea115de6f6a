"""Text from outside as a terminal may show it: without characters that move the cursor, recolour or reorder it."""

import re

# Control characters but for newline and tab, line separators, marks that turn the writing direction, half surrogates.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile("[\t\n]")


def printable(text: str) -> str:
    """Return `text` with what a terminal would act on written as Python escapes; lines stay lines."""
    return _UNSEEN.sub(_escape, text)


def in_one_line(text: str) -> str:
    """Return the same without line ends, so that a message from outside cannot look like lines of ours."""
    return _BREAKS.sub(_escape, printable(text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
