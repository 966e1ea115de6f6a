"""Plots as SVG text, to stand inside a page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from itertools import accumulate
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from batchrun.report.figures import Histogram, Minute

# Text stays text, so that it can be found and scales; without a date and with fixed ids the same figures make the same
# page.
STYLE: dict[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": "batchrun", "font.size": 9, "axes.grid": True}
SIZE_INCHES = (7.2, 2.4)
COLOUR, FAINT = "#2a6f97", "#c9d6df"


def speed_plot(minutes: Mapping[int, Minute]) -> str:
    """Plot rows a minute, and the dollars so far."""
    first, last = min(minutes), max(minutes)
    every = range(first, last + 1)
    at = date2num([datetime.fromtimestamp(60 * minute, UTC) for minute in every])
    rows = [minutes[minute].rows if minute in minutes else 0 for minute in every]
    usd = list(accumulate(minutes[minute].usd if minute in minutes else 0.0 for minute in every))
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.fill_between(at, rows, step="mid", color=FAINT)
        axes.step(at, rows, where="mid", color=COLOUR)
        axes.set_ylabel("rows a minute")
        locator = AutoDateLocator(tz=UTC)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
        dollars = axes.twinx()
        dollars.plot(at, usd, color="#9a3b26", linewidth=1)
        dollars.set_ylabel("dollars so far")
        dollars.grid(visible=False)
        return _svg(figure)


def histogram_plot(histogram: Histogram, label: str) -> str:
    """Plot how often values of a histogram came, over a logarithmic axis."""
    points: Sequence[tuple[float, int]] = histogram.points()
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.bar(
            [value for value, _ in points],
            [count for _, count in points],
            width=[value * 0.05 for value, _ in points],
            color=COLOUR,
        )
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.set_ylabel("rows")
        return _svg(figure)


def _svg(figure: Figure) -> str:
    written = StringIO()
    FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
