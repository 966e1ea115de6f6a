"""The emulator is a house of its own: a quota mistake made in the lanes must not be made here by import."""

import ast
import subprocess
import sys
from pathlib import Path

import batchrun.emulator

HOUSE = Path(batchrun.emulator.__file__).parent
OURS = ("batchrun.emulator", "batchrun.bedrock.card")


def imported(path):
    """Return every module that `path` imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


def test_of_ours_it_imports_only_the_card():
    foreign = {
        f"{path.name}: {name}"
        for path in HOUSE.glob("*.py")
        for name in imported(path)
        if name.startswith("batchrun") and not name.startswith(OURS)
    }

    assert foreign == set()


def test_its_table_can_be_read_without_the_server():
    script = "import sys, batchrun.emulator.config; print('aiohttp' in sys.modules)"

    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert told.stdout == "False\n"
