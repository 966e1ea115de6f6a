"""docs/emulator.md lists the faults that there are."""

import re
from pathlib import Path

from batchrun.emulator.faults import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "emulator.md"


def test_the_page_lists_every_kind_of_fault_with_its_stage_and_status():
    rows = re.findall(r"^\| (\S+) \| (gate|model|wire) \| (\S+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert rows == [
        (kind, fault.stage, "–" if fault.stage == "wire" else str(fault.status)) for kind, fault in FAULTS.items()
    ]
