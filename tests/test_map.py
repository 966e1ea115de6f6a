"""The map of docs/architecture.md names every package and every top-level module, from the top to the ground."""

import re

from tests.test_layers import LAYERS, PACKAGE, layer_of

PAGE = PACKAGE.parent / "docs" / "architecture.md"


def named() -> list[str]:
    """Return what the map names, in its order: `cli/` and `cli/saying.py`."""
    [section] = re.findall(r"^## The map\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return re.findall(r"`(?!tests/)([a-z0-9_/]+(?:/|\.py))`", section)


def test_the_map_names_every_package_and_every_top_level_module() -> None:
    packages = {f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.rglob("*/__init__.py")}
    modules = {path.name for path in PACKAGE.glob("*.py")}

    assert sorted((packages | modules) - set(named())) == []


def test_what_the_map_names_is_there_and_named_once() -> None:
    assert [name for name in named() if not (PACKAGE / name).exists()] == []
    assert len(named()) == len(set(named()))


def test_the_map_goes_from_the_top_to_the_ground() -> None:
    placed = [name for name in named() if name not in {"__init__.py", "__main__.py", "bedrock/cards/"}]
    layers = [layer_of(name.removesuffix(".py").strip("/").replace("/", ".")) for name in placed]

    assert layers == sorted(layers, reverse=True)
    assert set(layers) == set(range(len(LAYERS)))
