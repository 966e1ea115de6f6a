"""The layout holds: imports go downwards only, the emulator keeps to itself, and outside libraries stay at home."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "batchrun"

# From the ground up; a module imports from its own layer's house or from lower layers.
LAYERS = [
    {"redaction"},
    {"errors", "signals"},
    {"bedrock.card", "structured"},
    {"emulator"},
    {"jobspec"},
    {"records", "clock", "account.facts"},
    {"bedrock"},
    {"storage", "lanes"},
    {"account"},
    {
        *("render", "sandbox", "readyjob", "runaway", "cells", "asking", "caching", "pictures", "requesting"),
        *("assessment", "identity", "quotas", "template", "outcomes"),
    },
    {"screen", "sinks"},
    {"report"},
    {"backlog", "places", "dispatch", "dedupe", "syncing", "copying"},
    {"pipeline"},
    {"engines", "recall", "assembly", "transports", "allowance", "delivering", "verdict"},
    {"forecast"},
    {"account.doctor"},
    {"holding", "leaving", "start"},
    {"api", "deliver", "reporting"},
    {"planning"},
    {"cli"},
]
# Where an outside library may be imported, modules or packages; the emulator beside has a web server of its own.
HOMES = {
    "tenacity": {"lanes.retry"},
    "tqdm": {"screen.progress"},
    "typer": {"cli"},
    "aioboto3": {"bedrock.credentials", "account.calls", "storage.s3.connection"},
    "aiobotocore": {
        "bedrock.sdk",
        "bedrock.http",
        "bedrock.counting",
        "bedrock.credentials",
        "bedrock.sockets",
        "account.calls",
        "account.tls",
        "storage.s3.connection",
    },
    "botocore": {
        "bedrock.sdk",
        "bedrock.counting",
        "bedrock.credentials",
        "bedrock.surroundings",
        "account.calls",
        "account.tls",
        "storage.s3.connection",
        "storage.s3.problems",
    },
    "jinja2": {"template", "sandbox", "report.page"},
    "matplotlib": {"report.plots"},
    "jsonschema": {"structured.definition", "structured.judge"},
    "deltalake": {"sinks.delta"},
    "psycopg": {"sinks.postgres"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def layer_of(name: str) -> int:
    fits = [
        (len(house), place)
        for place, houses in enumerate(LAYERS)
        for house in houses
        if name == house or name.startswith(f"{house}.")
    ]
    assert fits, f"{name} has no place in the layout; give it one in {__file__}"
    return max(fits)[1]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_imports_from_its_own_layer_or_below(path: Path) -> None:
    name = name_of(path)
    if name in {"", "__main__"}:
        return
    ours = [module.removeprefix("batchrun.") for module in imports_of(path) if module.startswith("batchrun.")]
    above = [other for other in ours if layer_of(other) > layer_of(name)]

    assert above == []


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_an_outside_library_is_imported_in_its_home_only(path: Path) -> None:
    name = name_of(path)
    strangers = {library.partition(".")[0] for library in imports_of(path)}
    houses = {name} | {name[:end] for end, letter in enumerate(name) if letter == "."}
    astray = [library for library in strangers & HOMES.keys() if not houses & HOMES[library]]

    assert astray == []


def test_the_emulator_shares_nothing_with_the_lanes_but_the_card() -> None:
    for path in (PACKAGE / "emulator").glob("*.py"):
        ours = {module for module in imports_of(path) if module.startswith("batchrun.")}
        foreign = {module for module in ours if not module.startswith("batchrun.emulator")}

        assert foreign <= {"batchrun.bedrock.card"}, path


def test_only_one_file_of_the_command_line_prints() -> None:
    for path in modules():
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        prints = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]

        assert not prints or name_of(path) == "cli.saying", path


def test_type_checkers_of_others_may_read_the_package() -> None:
    assert (PACKAGE / "py.typed").is_file()
