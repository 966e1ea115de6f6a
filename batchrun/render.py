"""Rendering: an input row becomes a prompt, by sandboxed Jinja templates that are strict about what is not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jinja2
from jinja2 import meta, nodes

from batchrun.bedrock.image import MOST_IMAGES, Image
from batchrun.bedrock.turns import Turns, turns_from
from batchrun.errors import JobError
from batchrun.pictures import PictureError, Pictures
from batchrun.records import Message, Prompt
from batchrun.sandbox import BoundedSandbox

# What expressions of a template can raise besides Jinja's own errors; a macro may call itself without end.
_EXPRESSION_ERRORS = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)

_OTHER_FILES = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)


class RowError(Exception):
    """A row that cannot become a request; the message says why, for its result."""


@dataclass(frozen=True, slots=True)
class Templates:
    """A job's prompt: templates over the row's columns, or a column of messages instead of `user`.

    `tools` says whether messages may hold tool calls, `answers_begun` whether the last may be the assistant's.
    """

    system: str | None = None
    user: str | None = None
    messages: str | None = None
    prefill: str | None = None
    tools: bool = False
    answers_begun: bool = True


class NullError(jinja2.UndefinedError):
    """A null was printed or joined; the message names its column."""


class NullValue(jinja2.StrictUndefined):
    """A null cell: `is none`, `is defined` and `default()` see it; printing or joining it is the row's error."""

    __slots__ = ()

    def __repr__(self) -> NoReturn:
        raise NullError(self._undefined_hint)


class Renderer:
    """Turns rows into prompts; `columns` names what it reads of the input."""

    def __init__(self, templates: Templates, pictures: Pictures | None = None) -> None:
        """Compile the templates; `pictures` takes the images out of rows.

        Raises JobError naming the template, the line and what is wrong.
        """
        environment = self._environment = _environment()
        self._system = _compiled(environment, "prompt.system", templates.system)
        self._user = _compiled(environment, "prompt.user", templates.user)
        self._system_text = _constant(environment, "prompt.system", templates.system, self._system)
        self._messages = templates.messages
        self._prefill = templates.prefill
        self._tools = templates.tools
        self._answers_begun = templates.answers_begun
        self.pictures = pictures
        sources = [("prompt.system", templates.system), ("prompt.user", templates.user)]
        named = [_columns_of(environment, name, source) for name, source in sources if source is not None]
        own = [self._messages] if self._messages is not None else []
        seen = pictures.columns if pictures is not None else ()
        self.columns = list(dict.fromkeys([*own, *(column for columns in named for column in columns), *seen]))

    @property
    def fixed_system(self) -> str | None:
        """Return the system prompt if it is the same for all rows."""
        return self._system_text

    def images(self, cells: Mapping[str, Any]) -> Sequence[Image]:
        """Return a row's images; meant for a thread beside the event loop, since it waits for disks and stores.

        Raises RowError if one of them cannot be sent, StorageError if a store is out of reach.
        """
        if self.pictures is None:
            return ()
        try:
            return self.pictures.of(cells)
        except PictureError as error:
            raise RowError(str(error)) from error

    def prompt(self, cells: Mapping[str, Any], images: Sequence[Image] = ()) -> Prompt:
        """Render one row, with its images before the text of the last user message.

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
                return self._whole(Turns(system, (Message("user", text),)), images)
            turns = _turns(self._messages, cells)
        except NullError as error:
            raise RowError(f"cannot be rendered: {error}") from error
        except (jinja2.TemplateError, *_EXPRESSION_ERRORS) as error:
            raise RowError(f"cannot be rendered: {_without_cells(error)}") from error
        if turns.system is not None and system is not None:
            raise RowError(f"column {self._messages!r} has a system message, and so has prompt.system")
        if turns.uses_tools and not self._tools:
            raise RowError(f"column {self._messages!r} has tool calls: declare the tools in prompt.tools")
        if not self._answers_begun and turns.messages[-1].role == "assistant":
            raise RowError(f"column {self._messages!r} begins the answer: reasoning and schemas begin it themselves")
        return self._whole(turns if system is None else replace(turns, system=system), images)

    def _whole(self, turns: Turns, images: Sequence[Image]) -> Prompt:
        messages = turns.messages
        if images:
            messages = _with_images(messages, images)
        if self._prefill is not None:
            messages = (*messages, Message("assistant", self._prefill))
        seen = (*turns.images, *images)
        if len(seen) > MOST_IMAGES:
            raise RowError(f"has {len(seen)} images, Bedrock takes {MOST_IMAGES}")
        return Prompt(
            turns.system,
            messages,
            image_tokens=sum(image.tokens for image in seen),
            image_bytes=sum(image.size_bytes for image in seen),
        )


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


def _with_images(messages: tuple[Message, ...], images: Sequence[Image]) -> tuple[Message, ...]:
    """Put images before the text of the last user message; results of tools stay first, as the API wants them."""
    place = max(place for place, message in enumerate(messages) if message.role == "user")
    content = messages[place].content
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    results = [block for block in blocks if block["type"] == "tool_result"]
    others = [block for block in blocks if block["type"] != "tool_result"]
    whole = Message("user", [*results, *(image.block for image in images), *others])
    return (*messages[:place], whole, *messages[place + 1 :])


def _filled(text: str) -> str:
    if not text.strip():
        raise RowError("prompt.user rendered to nothing but white space, which Bedrock refuses")
    return text
