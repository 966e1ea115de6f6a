"""Builds the demo's input: the docstrings of the running Python's standard library, one row each, as Parquet."""

import argparse
import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

LONGEST_CHARS = 4_000
NOT_THE_LIBRARY = {"site-packages", "test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo"}


def docstrings(library: Path) -> Iterator[dict[str, str]]:
    """Yield every docstring below `library`, in a fixed order, under the dotted name of what it documents.

    A name that comes twice, such as a property's getter and setter, is taken once.
    """
    seen: set[str] = set()
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if NOT_THE_LIBRARY & set(parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        module = ".".join(parts).removesuffix(".__init__")
        for name, kind, text in _documented(tree, module):
            if name in seen:
                continue
            seen.add(name)
            yield {"name": name, "module": module, "kind": kind, "doc": text[:LONGEST_CHARS]}


def _documented(node: ast.AST, above: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text and text.strip():
            yield above, _KINDS[type(node)], text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _documented(child, f"{above}.{child.name}")


_KINDS = {
    ast.Module: "module",
    ast.ClassDef: "class",
    ast.FunctionDef: "function",
    ast.AsyncFunctionDef: "function",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="the Parquet file to write")
    target: Path = parser.parse_args().target
    rows = list(docstrings(Path(sysconfig.get_paths()["stdlib"])))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), target, row_group_size=2_000)
    print(f"{target}: {len(rows):,} docstrings")


if __name__ == "__main__":
    main()
