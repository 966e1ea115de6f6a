"""What a call is refused with, word for word: the tests of a message look at all of it."""

from collections.abc import Callable
from typing import Any

import pytest


def refusal_of(
    kind: type[Exception] | tuple[type[Exception], ...], call: Callable[..., object], *given: Any, **named: Any
) -> str:
    """Return the message of the error that `call` raises, which must be a `kind`."""
    with pytest.raises(kind) as caught:
        call(*given, **named)
    return str(caught.value)
