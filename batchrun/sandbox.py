"""The sandbox that templates run in: Jinja's own, with a bound on what one rendering may make and how long it turns.

Jinja's sandbox keeps a template from Python's insides; it does not keep it from filling the memory. Here every turn of
a loop, call, filter and text that is made counts against one budget, and what can make much of little (`*`, `center`,
`replace`, …) counts before it is made.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_CHARACTERS = 100_000_000  # of a rendering, with all that is made on the way; the largest request has 25 MB
TURN = 200  # characters that a turn of a loop counts as: half a million of them are about a second
CALL = 1_000  # characters that a call, a filter or an operator counts as: a hundred thousand of them are one, too
REFERENCE = 8  # characters that a place in a list counts as
_PADDED = {"center", "ljust", "rjust", "zfill"}
_NUMBER = re.compile(r"[0-9]+")
_WIDTH_FROM_ARGUMENT = re.compile(r"\{[^{}]*\{|%[^%]*\*")


class TooMuchError(SecurityError):
    """A rendering made more than any request may hold."""

    def __init__(self) -> None:
        super().__init__(f"the template makes too much: more than {MOST_CHARACTERS:,} characters, or too many turns")


class _CountingGenerator(CodeGenerator):
    """Compiles `~`, slices and loops so that they count."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.joined((")
        for one in node.nodes:
            self.visit(one, frame)
            self.write(", ")
        self.write("))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        is_slice = isinstance(node.arg, nodes.Slice)
        self.write("environment.counted(" if is_slice else "")
        super().visit_Getitem(node, frame)
        self.write(")" if is_slice else "")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        constant = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        counted = nodes.EnvironmentAttribute("turns", lineno=node.lineno)
        size = nodes.Const(TURN + constant, lineno=node.lineno)
        node.iter = nodes.Call(counted, [node.iter, size], [], None, None, lineno=node.lineno)
        super().visit_For(node, frame)


class BoundedSandbox(ImmutableSandboxedEnvironment):
    """A sandbox for one rendering at a time; `begin` fills the budget."""

    code_generator_class = _CountingGenerator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, finalize: Callable[[Any], Any], **options: Any) -> None:
        """Take what looks at each value that is printed, and Jinja's options."""
        super().__init__(**options)
        self._left = MOST_CHARACTERS
        self._looked_at = finalize
        self.finalize = self._printed
        del self.globals["lipsum"]  # makes text by the number of paragraphs; no prompt wants it
        self.filters = {name: self._counted(name, one) for name, one in self.filters.items()}

    def begin(self) -> None:
        """Fill the budget for the next rendering."""
        self._left = MOST_CHARACTERS

    def spend(self, characters: int) -> None:
        """Take from the budget.

        Raises TooMuchError if it is used up.
        """
        self._left -= characters
        if self._left < 0:
            raise TooMuchError

    def joined(self, values: Sequence[Any]) -> str:
        """Return what `~` makes of some values."""
        self.spend(CALL + sum(_size(value) for value in values))
        return str_join(values)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja has it
        """Call a function of a template, counted before and after."""
        method = getattr(__obj, "__wrapped__", __obj)
        text, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        __self.spend(CALL)
        if isinstance(text, str | bytes):
            args = _listed(name, args, place=0)
            __self.spend(_text_made(name, (text, *args), kwargs))
        result = super().call(__context, __obj, *args, **kwargs)
        __self.spend(_size(result))
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Work out an operator, counted before."""
        self.spend(CALL + _operator_made(operator, left, right))
        return super().call_binop(context, operator, left, right)

    def counted(self, copy: Any) -> Any:
        """Return a slice, counted."""
        self.spend(CALL + _size(copy))
        return copy

    def turns(self, values: Iterable[Any], size: int) -> Iterator[Any]:
        """Yield the values that a loop goes over, each counted as `size` characters."""
        for value in values:
            self.spend(size)
            yield value

    def _printed(self, value: Any) -> Any:
        self.spend(_size(value))
        return self._looked_at(value)

    def _counted(self, name: str, made_by: Callable[..., Any]) -> Callable[..., Any]:
        place = 1 if hasattr(made_by, "jinja_pass_arg") else 0  # Jinja hands such a filter its context first

        @wraps(made_by)
        def counted(*args: Any, **kwargs: Any) -> Any:
            args = _listed(name, args, place)
            self.spend(CALL + _text_made(name, args[place:], kwargs))
            result = made_by(*args, **kwargs)
            self.spend(_size(result))
            return result

        return counted


def _size(value: Any) -> int:
    """Return how many characters a value counts as; what is not made yet counts when it is."""
    if isinstance(value, str | bytes | range):
        return len(value)
    return REFERENCE * len(value) if isinstance(value, list | tuple) else 0


def _listed(name: str, args: tuple[Any, ...], place: int) -> tuple[Any, ...]:
    """Make a list of what is joined, so that it can be counted."""
    if name != "join" or len(args) <= place or isinstance(args[place], str | list | tuple):
        return args
    return (*args[:place], list(args[place]), *args[place + 1 :])


def _text_made(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Return how much more than its arguments a method of text or a filter of that name is about to make, at most."""
    given = [*args, *kwargs.values()]
    numbers = sum(abs(one) for one in given if isinstance(one, int))
    texts = sum(len(one) for one in given if isinstance(one, str))
    if name in _PADDED:
        return numbers
    if name in {"indent", "expandtabs", "wordwrap"}:  # at every line, tab or break
        return (numbers + texts) * (1 + _breaks(args, name)) if args and isinstance(args[0], str) else texts
    if name == "tojson":
        return 1_000_000 * numbers
    if name in {"batch", "slice"}:
        return REFERENCE * numbers
    if name == "join":
        return sum(_joined(one, texts) for one in args)
    if name == "replace" and len(args) > 2 and isinstance(args[0], str):
        return args[0].count(str(args[1])) * len(str(args[2]))
    if name == "translate" and len(args) > 1 and isinstance(args[1], dict):
        return len(args[0]) * max((_size(one) for one in args[1].values()), default=0)
    if name in {"format", "format_map"} and args and isinstance(args[0], str):
        return _formatted(args[0], given[1:])
    return 0


def _breaks(args: Sequence[Any], name: str) -> int:
    """Return in how many places such a filter may put something."""
    text: str = args[0]
    return text.count("\t") if name == "expandtabs" else len(text) if name == "wordwrap" else text.count("\n")


def _joined(value: Any, separators: int) -> int:
    if isinstance(value, str):
        return len(value) * separators
    return sum(_size(one) + separators for one in value) if isinstance(value, list | tuple) else 0


def _formatted(text: str, values: Sequence[Any]) -> int:
    """Return how long a format may become: by the widths in it, and by the values where widths come from them."""
    widths = sum(int(number[:10]) for number in _NUMBER.findall(text))
    if _WIDTH_FROM_ARGUMENT.search(text):
        widths += sum(abs(int(one)) for one in _flat(values) if isinstance(one, int))
    repeated = text.count("{") + text.count("%")
    return widths + repeated * sum(_size(one) for one in _flat(values))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _operator_made(operator: str, left: Any, right: Any) -> int:
    """Return how much an operator is about to make; digits of huge numbers count a thousandfold, for their time."""
    if operator == "%":
        return _formatted(left, [right]) if isinstance(left, str) else 0
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
        return 1_000 * bits if bits > 1_000 else 0
    if operator == "+":
        return _size(left) + _size(right)
    if operator == "*":
        times = next((abs(one) for one in (left, right) if isinstance(one, int)), 0)
        return times * max(_size(left), _size(right))
    return 0
