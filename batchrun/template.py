"""Template: sandboxed Jinja over a row's columns, strict about what is not there."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2 import meta, nodes

from batchrun.errors import JobError
from batchrun.sandbox import BoundedSandbox

# What expressions of a template can raise besides Jinja's own errors; a macro may call itself without end.
RENDERING_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
)
_OTHER_FILES = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)


class RowError(Exception):
    """A row that cannot become a request; the message says why, for its result."""


class NullError(jinja2.UndefinedError):
    """A null was printed or joined; the message names its column."""


class NullValue(jinja2.StrictUndefined):
    """A null cell: `is none`, `is defined` and `default()` see it; printing or joining it is the row's error."""

    __slots__ = ()

    def __repr__(self) -> NoReturn:
        raise NullError(self._undefined_hint)


class Template:
    """One template of a job's prompt, by its name in the job file."""

    def __init__(self, environment: BoundedSandbox, name: str, source: str) -> None:
        """Compile `source`.

        Raises JobError naming the template, the line and what is wrong.
        """
        self._environment = environment
        self._name = name
        self._source = source
        self._template = self._compiled()

    def __repr__(self) -> str:
        return f"Template({self._name}, {len(self._source)} characters)"

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the text for a row of `cells_of`; raises RowError, or one of RENDERING_ERRORS."""
        return self._template.render(row, row=row)

    def constant(self) -> str | None:
        """Return what the template renders to if it reads no column, None otherwise.

        Raises JobError if it cannot be rendered.
        """
        if meta.find_undeclared_variables(self._environment.parse(self._source)):
            return None
        try:
            return self._template.render()
        except (RowError, *RENDERING_ERRORS) as error:
            raise JobError(f"{self._name}: cannot be rendered, for any row: {error}") from error

    def columns(self) -> Sequence[str]:
        """Name the columns that the template reads: its free names, and what it takes from `row`.

        Raises JobError if it uses `row` otherwise.
        """
        tree = self._environment.parse(self._source)
        free = meta.find_undeclared_variables(tree)
        columns = sorted(free - {"row"})
        if "row" in free:
            columns += _taken_from_row(self._name, tree)
        return columns

    def _compiled(self) -> jinja2.Template:
        try:
            for node in self._environment.parse(self._source).find_all(_OTHER_FILES):
                raise JobError(
                    f"{self._name}: line {node.lineno}: a prompt is one template: it cannot include or import others"
                )
            template = self._environment.from_string(self._source)
        except jinja2.TemplateSyntaxError as error:
            raise JobError(f"{self._name}: line {error.lineno}: {error.message}") from error
        except (SyntaxError, RecursionError, MemoryError, ValueError) as error:  # of Python, which a template becomes
            raise JobError(f"{self._name}: nested too deeply, or holds a number too large: {error}") from error
        # Jinja copies its globals for every row, and walks a ChainMap in Python for that: a third of the rendering.
        template.globals = dict(template.globals)
        return template


def environment_of_rows() -> BoundedSandbox:
    """Return what templates are compiled and rendered in; `begin` gives each row its own budget."""
    environment = BoundedSandbox(
        _printable, undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False
    )
    environment.tests["none"] = lambda value: value is None or isinstance(value, NullValue)
    return environment


def cells_of(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's cells as templates see them, a null as what cannot be printed."""
    return {name: _cell(name, value) for name, value in cells.items()}


def cause_of(error: Exception) -> str:
    """Say what went wrong in a template; most messages quote values, and a row's text is for no log or summary."""
    if isinstance(error, NullError):
        return str(error)
    quotes_types_only = isinstance(error, TypeError | ArithmeticError | jinja2.exceptions.SecurityError)
    said = f": {error}" if quotes_types_only else ""
    return f"{type(error).__name__}{said}"


def _printable(value: Any) -> Any:
    """Refuse what would print as Python's spelling of it."""
    if value is None:
        raise RowError("an expression is null")
    if isinstance(value, bytes | bytearray | memoryview):
        raise RowError("an expression is binary; prompts take text")
    return value


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return NullValue(hint=f"column {name!r} is null", exc=NullError)
    if isinstance(value, dict):
        return {key: _cell(f"{name}.{key}", inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_cell(f"{name}[{place}]", inner) for place, inner in enumerate(value)]
    return value


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
