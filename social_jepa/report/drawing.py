"""The drawing of a graph in its room, and a run as HTML for notebooks."""

import base64
from collections.abc import Mapping

from markupsafe import Markup

from env.scene import Scene
from social_jepa.graph.observer import check_tick
from social_jepa.graph.results import Results
from social_jepa.report.graph_svg import agent_cards, draw_graph
from social_jepa.report.tables import escape
from social_jepa.report.templating import REPORT, make_environment, report_style

MAX_DRAWN = 12  # agents up to which a notebook shows the drawing; edges of more hide each other


def draw_results(results: Results, tick: int, pictures: Mapping[str, str]) -> str:
    """Return the graph as an SVG element for a page with the style of the report.

    Args:
        results: A graph.
        tick: Tick whose objects are drawn.
        pictures: View of each camera at that tick, as a data URI; may be empty.
    """
    config = results.config
    scene = Scene(config.scene, config.seed)
    check_tick(scene, tick)
    state = scene.state(tick)
    return draw_graph(agent_cards(results), results.document.edges, config.scene, state, pictures)


def standalone_svg(drawing: str) -> str:
    """Return a drawing of `draw_results` as an SVG file of its own, with its style."""
    attributes, content = (Markup(part) for part in drawing.removeprefix("<svg").split(">", 1))
    template = make_environment(REPORT).get_template("graph.svg.jinja")
    return template.render(attributes=attributes, style=report_style(), content=content)


def run_html(title: str, results: Results | None = None) -> str:
    """Return a run for a notebook: title, drawing, and the matrix of R2 with its summary.

    Args:
        title: Plain text.
        results: Its graph; None: no agent has joined yet.
    """
    heading = f"<h4>{escape(title)}</h4>"
    if results is None:
        return f"{heading}<p>No agent has joined yet.</p>"
    drawing = ""
    if len(results.members) <= MAX_DRAWN:
        svg = standalone_svg(draw_results(results, 0, {})).encode("utf-8", "surrogateescape")
        uri = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        drawing = f'<img src="{uri}" alt="the agents in their room" style="width:420px">'
    return heading + drawing + results._repr_html_()
