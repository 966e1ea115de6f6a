"""The page of a report: one HTML file that needs nothing else, in which all that comes from outside is escaped."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from batchrun.report.figures import Figures
from batchrun.report.plots import histogram_plot, speed_plot
from batchrun.screen.printable import in_one_line

MESSAGE_SHOWN = 200


def page(job: str, told: Mapping[str, Any], figures: Figures) -> str:
    """Return the HTML of a report over `figures`; `told` is what the output's files say of it."""
    environment = Environment(
        loader=PackageLoader("batchrun.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"seen": lambda text: in_one_line(str(text))[:MESSAGE_SHOWN]}
    plots = []
    if figures.minutes:
        plots.append(("Speed", Markup(speed_plot(figures.minutes))))
    if figures.latency_s.bins:
        plots.append(("Time of the answers", Markup(histogram_plot(figures.latency_s, "seconds"))))
    if figures.answer_tokens.bins:
        plots.append(("Length of the answers", Markup(histogram_plot(figures.answer_tokens, "tokens"))))
    return environment.get_template("page.html").render(job=job, told=told, figures=figures, plots=plots)
