"""Rendering: an input row becomes a prompt, by sandboxed Jinja templates that are strict about what is not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jinja2
from jinja2 import meta, nodes

from batchrun.bedrock.body import InvokeFrame, Sampling, head_of, invoke_body
from batchrun.bedrock.checkpoints import NO_CHECKPOINTS, Prefixes
from batchrun.bedrock.turns import Turns, turns_from
from batchrun.errors import JobError
from batchrun.records import Message, Prompt, Request
from batchrun.sandbox import BoundedSandbox

FIRST_BYTES_PER_TOKEN = 3.5  # English prose in Claude's tokenizer, before usage has corrected it; a guess
FIRST_BYTES = 1_000.0  # how much that guess weighs against the first rows
FRAME_TOKENS = 8  # of a request besides its text; one word as a user's message counts as about so many
TOOL_TOKENS = 346  # what tools add to the input besides their text; Anthropic's tool use guide, Claude 4 models
SHARE_OF_LAST = 0.02
# What expressions of a template can raise besides Jinja's own errors; a macro may call itself without end.
_EXPRESSION_ERRORS = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)

_OTHER_FILES = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)


class RowError(Exception):
    """A row that cannot become a request; the message says why, for its result."""


@dataclass(frozen=True, slots=True)
class Templates:
    """A job's prompt: templates over the row's columns, or a column of messages instead of `user`."""

    system: str | None = None
    user: str | None = None
    messages: str | None = None
    prefill: str | None = None


class NullError(jinja2.UndefinedError):
    """A null was printed or joined; the message names its column."""


class NullValue(jinja2.StrictUndefined):
    """A null cell: `is none`, `is defined` and `default()` see it; printing or joining it is the row's error."""

    __slots__ = ()

    def __repr__(self) -> NoReturn:
        raise NullError(self._undefined_hint)


class Renderer:
    """Turns rows into prompts; `columns` names what it reads of the input."""

    def __init__(self, templates: Templates) -> None:
        """Compile the templates.

        Raises JobError naming the template, the line and what is wrong.
        """
        environment = self._environment = _environment()
        self._system = _compiled(environment, "prompt.system", templates.system)
        self._user = _compiled(environment, "prompt.user", templates.user)
        self._system_text = _constant(environment, "prompt.system", templates.system, self._system)
        self._messages = templates.messages
        self._prefill = templates.prefill
        sources = [("prompt.system", templates.system), ("prompt.user", templates.user)]
        named = [_columns_of(environment, name, source) for name, source in sources if source is not None]
        own = [self._messages] if self._messages is not None else []
        self.columns = list(dict.fromkeys([*own, *(column for columns in named for column in columns)]))

    @property
    def fixed_system(self) -> str | None:
        """Return the system prompt if it is the same for all rows."""
        return self._system_text

    def prompt(self, cells: Mapping[str, Any]) -> Prompt:
        """Render one row.

        Raises RowError if a cell is null, a template fails, or a message list is not one.
        """
        row = {name: _cell(name, value) for name, value in cells.items()}
        self._environment.begin()
        try:
            system = self._system_text
            if system is None and self._system is not None:
                system = self._system.render(row, row=row)
            if self._user is not None:
                text = _filled(self._user.render(row, row=row))
                return self._with_prefill(Turns(system, (Message("user", text),)))
            turns = _turns(self._messages, cells)
        except NullError as error:
            raise RowError(f"cannot be rendered: {error}") from error
        except (jinja2.TemplateError, *_EXPRESSION_ERRORS) as error:
            raise RowError(f"cannot be rendered: {_without_cells(error)}") from error
        if turns.system is not None and system is not None:
            raise RowError(f"column {self._messages!r} has a system message, and so has prompt.system")
        return self._with_prefill(turns if system is None else replace(turns, system=system))

    def _with_prefill(self, turns: Turns) -> Prompt:
        messages = turns.messages
        if self._prefill is not None:
            messages = (*messages, Message("assistant", self._prefill))
        return Prompt(
            turns.system,
            messages,
            image_tokens=sum(image.tokens for image in turns.images),
            image_bytes=sum(image.size_bytes for image in turns.images),
        )


class Requests:
    """Makes requests of prompts, with an estimate of their tokens that usage corrects.

    Bytes per token are learnt of the text alone, as a ratio of sums: what surrounds short rows would otherwise make
    long ones look far smaller than they are.
    """

    def __init__(self, sampling: Sampling, largest_bytes: int) -> None:
        self._frame = InvokeFrame(sampling)
        self._prefixes = Prefixes(sampling.cache, head_of(sampling)) if sampling.cache != NO_CHECKPOINTS else None
        self._max_tokens = sampling.max_tokens
        self._largest_bytes = largest_bytes
        # Tools and a schema are text that the model reads; the rest of what surrounds a row's text is not.
        bare = replace(sampling, schema=None, tools=(), cache=NO_CHECKPOINTS)
        self._frame_bytes = len(invoke_body(Prompt(None, (Message("user", ""),)), bare))
        self._frame_tokens = FRAME_TOKENS + (TOOL_TOKENS if sampling.tools or sampling.schema_as_tool else 0)
        self._bytes = FIRST_BYTES  # running means over rows, of their text
        self._tokens = FIRST_BYTES / FIRST_BYTES_PER_TOKEN

    def request(self, row: int, prompt: Prompt) -> Request:
        """Return the request of a prompt.

        Raises RowError if it cannot be written as UTF-8 or is larger than Bedrock takes.
        """
        try:
            body = self._frame.body(prompt)
        except UnicodeEncodeError as error:
            raise RowError(f"the text is not Unicode: {error.reason} at {error.start}") from error
        if len(body) > self._largest_bytes:
            raise RowError(f"the request has {len(body)} bytes, Bedrock takes {self._largest_bytes}")
        text_tokens = (len(body) - prompt.image_bytes - self._frame_bytes) * self._tokens / self._bytes
        input_tokens = self._frame_tokens + int(text_tokens) + prompt.image_tokens
        prefixes = self._prefixes.of(prompt) if self._prefixes is not None else ()
        return Request(row, prompt, body, input_tokens, self._max_tokens, prefixes)

    def learn(self, request: Request, input_tokens: int) -> None:
        """Correct the estimate by what Bedrock counted."""
        text_tokens = input_tokens - self._frame_tokens - request.prompt.image_tokens
        if text_tokens > 0:
            text_bytes = len(request.body) - request.prompt.image_bytes - self._frame_bytes
            self._bytes += SHARE_OF_LAST * (text_bytes - self._bytes)
            self._tokens += SHARE_OF_LAST * (text_tokens - self._tokens)


def _without_cells(error: Exception) -> str:
    """Say what went wrong in a template; most messages quote values, and a row's text is for no log or summary."""
    quotes_types_only = isinstance(error, TypeError | ArithmeticError | jinja2.exceptions.SecurityError)
    said = f": {error}" if quotes_types_only else ""
    return f"{type(error).__name__}{said}"


def _environment() -> BoundedSandbox:
    environment = BoundedSandbox(
        _printable, undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False
    )
    environment.tests["none"] = lambda value: value is None or isinstance(value, NullValue)
    return environment


def _printable(value: Any) -> Any:
    """Refuse what would print as Python's spelling of it."""
    if value is None:
        raise RowError("an expression is null")
    if isinstance(value, bytes | bytearray | memoryview):
        raise RowError("an expression is binary; prompts take text")
    return value


def _compiled(environment: jinja2.Environment, name: str, source: str | None) -> jinja2.Template | None:
    if source is None:
        return None
    try:
        for node in environment.parse(source).find_all(_OTHER_FILES):
            raise JobError(f"{name}: line {node.lineno}: a prompt is one template: it cannot include or import others")
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise JobError(f"{name}: line {error.lineno}: {error.message}") from error
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:  # of Python, which a template becomes
        raise JobError(f"{name}: nested too deeply, or holds a number too large: {error}") from error
    # Jinja copies its globals for every row, and walks a ChainMap in Python for that: a third of the rendering.
    template.globals = dict(template.globals)
    return template


def _constant(
    environment: jinja2.Environment, name: str, source: str | None, template: jinja2.Template | None
) -> str | None:
    """Return what a template renders to if it reads no column, None otherwise.

    Raises JobError if it cannot be rendered.
    """
    if source is None or template is None or meta.find_undeclared_variables(environment.parse(source)):
        return None
    try:
        return template.render()
    except (RowError, jinja2.TemplateError, *_EXPRESSION_ERRORS) as error:
        raise JobError(f"{name}: cannot be rendered, for any row: {error}") from error


def _columns_of(environment: jinja2.Environment, name: str, source: str) -> Sequence[str]:
    """Name the columns that a template reads: its free names, and what it takes from `row`."""
    tree = environment.parse(source)
    free = meta.find_undeclared_variables(tree)
    columns = sorted(free - {"row"})
    if "row" in free:
        columns += _taken_from_row(name, tree)
    return columns


def _taken_from_row(name: str, tree: nodes.Template) -> list[str]:
    taken = []
    accesses: list[nodes.Getitem | nodes.Getattr] = [*tree.find_all(nodes.Getitem), *tree.find_all(nodes.Getattr)]
    for node in accesses:
        if isinstance(node.node, nodes.Name) and node.node.name == "row":
            key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
            if not isinstance(key, str):
                raise JobError(f'{name}: line {node.lineno}: write row["a column"]; other uses of row are not possible')
            taken.append(key)
    uses = sum(1 for node in tree.find_all(nodes.Name) if node.name == "row")
    if uses != len(taken):
        raise JobError(f'{name}: row stands alone; name the columns, as in {{{{ row["a column"] }}}}')
    return taken


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return NullValue(hint=f"column {name!r} is null", exc=NullError)
    if isinstance(value, dict):
        return {key: _cell(f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cell(f"{name}[{place}]", inner) for place, inner in enumerate(value)]
    return value


def _turns(column: str | None, cells: Mapping[str, Any]) -> Turns:
    assert column is not None, "a job has either prompt.user or prompt.messages"
    if cells[column] is None:
        raise RowError(f"column {column!r} is null")
    try:
        return turns_from(cells[column])
    except ValueError as error:
        raise RowError(f"column {column!r}: {error}") from error


def _filled(text: str) -> str:
    if not text.strip():
        raise RowError("prompt.user rendered to nothing but white space, which Bedrock refuses")
    return text
