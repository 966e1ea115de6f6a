"""`batchrun report`: figures that agree with the rows, and a page that no answer can write into."""

import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from batchrun.errors import InputError, JobError
from batchrun.report.figures import Histogram, figures_of
from batchrun.report.page import page
from batchrun.reporting import report
from batchrun.storage.folder import Folder
from tests.run.rehearsal import Rehearsal, job, numbered, rehearse
from tests.storage.outputs import failure, make, outcome

HOSTILE = "<script>alert(1)</script>\"'>\x1b[31m"


@pytest.fixture
def ended(tmp_path: Path) -> Rehearsal:
    texts = [*numbered(7), "[[stop_reason=max_tokens]] Name a fish.", "[[fault=InternalServerException]] Name a fish."]
    return rehearse(job(tmp_path, texts, retry={"max_attempts": 2}, limits={"max_failed": 1.0}))


class Tags(HTMLParser):
    """Collects the elements of a page and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - HTMLParser's way
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_figures_are_those_of_the_rows(ended: Rehearsal) -> None:
    figures, rows = figures_of(Folder(ended.spec.output.path)), ended.rows()

    assert (figures.rows, dict(figures.by_status)) == (9, {"ok": 7, "truncated": 1, "failed": 1})
    assert figures.usd == pytest.approx(ended.summary["usd"])
    assert figures.output_tokens == ended.summary["tokens"]["output"]
    assert figures.attempts == sum(row["attempts"] for row in rows)
    assert sum(minute.rows for minute in figures.minutes.values()) == 9
    assert figures.errors["failed", "InternalServerException"].example == 8


def test_the_page_stands_beside_the_parts_and_says_what_it_shows(ended: Rehearsal) -> None:
    path = Path(report(ended.spec))
    page = Tags(path.read_text(encoding="utf-8"))

    assert path == ended.spec.output.path / "report.html"
    assert page.tags.count("svg") == 3
    assert "InternalServerException" in page.text
    assert f"{ended.summary['usd']:.6f}" in page.text
    assert "an emulator's, made up" in page.text


def test_the_same_figures_make_the_same_page(ended: Rehearsal) -> None:
    first, second = (Path(report(ended.spec)).read_bytes() for _ in range(2))

    assert first == second


def test_nothing_from_outside_becomes_part_of_the_page(tmp_path: Path) -> None:
    made = make(tmp_path, rows=4)
    outcomes = [
        outcome(0, inference_id=HOSTILE, source_region=HOSTILE),
        outcome(1, text=HOSTILE, stop_reason=HOSTILE),
        *(failure(row) for row in (2, 3)),
    ]
    outcomes[2] = replace(outcomes[2], error_code=HOSTILE, error_message=HOSTILE)
    made.write(made.ranges[0], outcomes)
    html = page(
        HOSTILE, {"output": HOSTILE, "state": HOSTILE, "emulated": False, "rows_total": 4}, figures_of(made.folder)
    )
    tags = Tags(html)

    assert "script" not in tags.tags
    assert "\x1b" not in html
    assert tags.text.count("alert(1)") >= 5
    assert re.findall(r"\son\w+=", html) == []


def test_an_output_without_a_part_makes_an_empty_report(tmp_path: Path) -> None:
    stopped = rehearse(job(tmp_path, numbered(50), limits={"deadline": 0.1, "drain": 0}))

    assert "of 50" in Path(report(stopped.spec)).read_text()


def test_without_an_output_or_the_extra_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = job(tmp_path, numbered(1))
    with pytest.raises(InputError, match="no run has written here yet"):
        report(spec)
    monkeypatch.setitem(sys.modules, "batchrun.report.page", None)
    with pytest.raises(JobError, match=r"needs the extra: pip install 'batchrun\[report\]'"):
        report(spec)


def test_quantiles_are_within_five_per_cent() -> None:
    histogram = Histogram()
    for value in range(1, 1001):
        histogram.add(value / 10)

    assert histogram.quantile(0.5) == pytest.approx(50, rel=0.05)
    assert histogram.quantile(0.95) == pytest.approx(95, rel=0.05)
    assert Histogram().quantile(0.5) is None
