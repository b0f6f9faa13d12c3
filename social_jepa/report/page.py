"""report.html: a run as one page that explains its terms and needs no network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup

from agents.common.files import CHECKPOINT, write_atomically
from agents.protocol.settings import tick_ranges
from agents.training.checkpoint import CheckpointError, read_checkpoint
from alignment.natural_order import list_names
from alignment.status import Status
from env.scene import SceneConfig
from social_jepa.config.run_config import RunConfig
from social_jepa.graph.neighborhood import MAX_SHOWN
from social_jepa.graph.observer import Observer
from social_jepa.graph.results import Results, full_document
from social_jepa.graph.summary import WorstEdge, summarize
from social_jepa.records import FullGraphDocument
from social_jepa.records import replace as replace_record
from social_jepa.report import plots, tables
from social_jepa.report.drawing import draw_results, standalone_svg
from social_jepa.report.figure import color
from social_jepa.report.rendering import data_uri, same_ticks
from social_jepa.report.tables import escape, number
from social_jepa.report.templating import REPORT, make_environment, read_static, report_style

TICKS = 4  # ticks whose views the page shows


@dataclass(frozen=True)
class Views:
    """Views of all cameras at the same ticks.

    Attributes:
        ticks: Some of the held-out ticks.
        pictures: Data URIs by agent, one for each tick; empty without a renderer.
        trouble: Why there are no pictures; else empty.
    """

    ticks: tuple[int, ...]
    pictures: Mapping[str, Sequence[str]]
    trouble: str = ""


def write_report(results: Results, document: FullGraphDocument | None = None) -> Path:
    """Write the run's report.html and graph.svg, each atomically, and return the path of the page.

    The page is a function of the run folder: writing it again gives the same bytes. Its text is
    templates/report.html.jinja.

    Args:
        results: The run.
        document: What `full_document` returns for them; worked out by default, which takes a minute for a
            thousand agents.
    """
    config, templates = results.config, make_environment(REPORT)
    full, shown = document or full_document(results), _first(results, MAX_SHOWN)
    views = _render_views(shown)
    values = {"style": report_style(), "script": read_static(REPORT, ("report.js",))}
    values |= _headline(results)
    values |= _graph(results, shown, views)
    values |= _plots(shown, config)
    values |= _provenance(results)
    values |= {
        "pictures": tables.pictures(views.ticks, views.pictures, views.trouble),
        "agents_table": tables.agents_table(
            results.members, {agent.name: agent for agent in results.document.agents}
        ),
        "edges_table": tables.edges_table(results.document.edges),
        "raw_table": tables.raw_table(results.document.edges),
        "trust_table": tables.trust_table(results.document.trust),
        "cycles_table": tables.cycles_table(full.cycles, full.unscored_cycles, full.unlisted_cycles),
    }
    # every fragment was escaped where it was built
    safe = {name: Markup(value) for name, value in values.items()}
    text = templates.get_template("report.html.jinja").render(safe)
    drawing = standalone_svg(values["graph"])
    write_atomically(results.folder.report_file, text.encode("utf-8", "surrogateescape"))
    write_atomically(results.folder.path / "graph.svg", drawing.encode("utf-8", "surrogateescape"))
    return results.folder.report_file


def _first(results: Results, count: int) -> Results:
    """Return results of the first agents alone; for drawings and plots, which more would make unreadable."""
    if len(results.members) <= count:
        return results
    members = results.members[:count]
    names, document = {member.name for member in members}, results.document
    return replace(
        results,
        members=members,
        document=replace_record(
            document,
            agents=tuple(agent for agent in document.agents if agent.name in names),
            edges=tuple(edge for edge in document.edges if {edge.source, edge.target} <= names),
        ),
    )


def _render_views(results: Results) -> Views:
    """Return the views; without OpenGL the page has none."""
    config = results.config
    held = tick_ranges(
        config.negotiation, config.scene.decorrelation_ticks, config.scene.decorrelation_ticks
    )[0]
    ticks = tuple(held[round(place)] for place in np.linspace(0, len(held) - 1, TICKS))
    try:
        with Observer(results) as observer:
            frames = same_ticks(observer, [member.name for member in results.members], ticks)
    except RuntimeError as error:
        return Views(ticks, {}, str(error))
    return Views(ticks, {name: [data_uri(pixels) for pixels in row] for name, row in frames.items()})


def _headline(results: Results) -> dict[str, str]:
    document = results.document
    summary, agents = summarize(document), document.agents
    compared = (edge.anchors for edge in document.edges if edge.r2_shared is not None)
    one, other = ([member.name for member in results.members] * 2)[:2]
    return {
        "agents": str(summary.agents),
        "learning": _learning(document.training),
        "one": escape(one),
        "other": escape(other),
        "headline": escape(summary.headline()),
        "remark": escape(summary.remark()),
        "high": str(summary.high),
        "middle": str(summary.middle),
        "low": str(summary.low),
        "unmapped": str(summary.unmapped),
        "pairs": str(summary.pairs),
        "compared": str(max(compared, default=0)),
        "core_mean": number(summary.mean, 2),
        "core_worst": _worst(summary.worst),
        "shared_mean": number(summary.shared_dim, 1),
        "null_highest": number(summary.null_highest, 2),
        "time": _time(document.seconds.total if document.seconds else None),
        "distilled": _distilled([agent.name for agent in agents if agent.distill_frames]),
        "seed": str(document.seed),
        "config_hash": escape(document.config_hash),
        "fingerprint": escape(document.scene_fingerprint),
        "anchor_seed": "" if document.anchor_seed is None else str(document.anchor_seed),
    }


def _worst(edge: WorstEdge | None) -> str:
    if edge is None:
        return "no accepted map"
    return f"worst {number(edge.r2_shared, 2)}, {escape(edge.source)} → {escape(edge.target)}"


def _learning(names: Sequence[str]) -> str:
    """Return a sentence that names the agents without a model of their view."""
    if not names:
        return ""
    verb = "has" if len(names) == 1 else "have"
    return f" {escape(list_names(names))} {verb} not published a model of the current view yet."


def _time(total: float | None) -> str:
    texts = ("up", "a running simulation", "agents may join and leave") if total is None else (
        f"{number(total, 0)} s", "from start to graph", "recording, training, negotiating"
    )  # fmt: skip
    return "<div><b>{}</b><span>{}</span><small>{}</small></div>".format(*texts)


def _distilled(names: Sequence[str]) -> str:
    """Return a sentence that names the agents that did not train alone."""
    if not names:
        return ""
    return f" Of these, {escape(list_names(names))} distilled from a peer’s embeddings first."


def _graph(results: Results, shown: Results, views: Views) -> dict[str, str]:
    document, tick = results.document, views.ticks[0]
    pictures = {name: row[0] for name, row in views.pictures.items()}
    remarks = [
        [edge for edge in document.edges if (edge.status == Status.ACCEPTED) is accepted and edge.reason]
        for accepted in (False, True)
    ]
    return {
        "plan": _plan(results, len(shown.members), tick),
        "graph": draw_results(shown, tick, pictures),
        "shades": tables.shades(),
        "refused": tables.reasons("Not accepted", remarks[0]) or '<p class="note">No edge was refused.</p>',
        "remarks": tables.reasons("Accepted, with a remark", remarks[1]),
    }


def _plan(results: Results, drawn: int, tick: int) -> str:
    """Return sentences about which agents the drawing shows, and where."""
    count, some = len(results.members), ""
    if drawn < count:
        some = f"The drawing, the pictures and the plots are of the first {drawn} of {count:,} agents. "
    if results.config.scene.source:
        return f"{some}Each picture is the view of an agent at tick {tick}; its place has no meaning."
    return (
        f"{some}The room from above: each picture stands where that agent’s camera stands, the faint wedge "
        f"is where it looks, and the pale squares are the objects at tick {tick}."
    )


def _plots(results: Results, config: RunConfig) -> dict[str, str]:
    document, autocorrelation = results.document, _common_autocorrelation(config.scene)
    agents, edges = document.agents, document.edges
    theory = "" if autocorrelation is None else (
        " The dotted lines are the autocorrelations that theory predicts for the objects’ coordinates "
        f"({number(autocorrelation, 2)}) and for products of two of them ({number(autocorrelation**2, 2)})."
    )  # fmt: skip
    inks = {member.name: color(index) for index, member in enumerate(results.members)}
    methods = [(ink, meaning) for ink, _, meaning in plots.METHODS.values()]
    return {
        "colors": tables.legend([(ink, name) for name, ink in inks.items()]),
        "loss": tables.gallery([plots.loss_plot(agents, inks)], "wide"),
        "theory": theory,
        "cores": tables.gallery(plots.core_plots(agents, inks, autocorrelation), "small"),
        "directions": tables.gallery(plots.shared_plots(inks, edges), "small"),
        "methods": tables.legend(methods),
        "costs": _costs(results, config),
    }


def _common_autocorrelation(scene: SceneConfig) -> float | None:
    """Return the autocorrelation of every coordinate of the scene, if theory predicts one for all."""
    values = set(scene.coordinate_autocorrelations)
    predicted = scene.dynamics == "ornstein_uhlenbeck" and not scene.source
    return values.pop() if predicted and len(values) == 1 else None


def _costs(results: Results, config: RunConfig) -> str:
    edges = [edge for edge in results.document.edges if edge.anchors]
    if not edges:
        return '<p class="note">No edge compared anchors.</p>'
    ticks = max(edge.anchors + edge.heldout for edge in edges)
    pixels = ticks * 3 * config.scene.frame_size**2
    sent = [edge.bytes for edge in edges]
    cost = plots.cost_plot(sent, _weights(results), pixels, ticks)
    budget = results.document.budget
    return tables.gallery([*([plots.budget_plot(budget)] if budget else []), cost], "wide")


def _weights(results: Results) -> list[int]:
    """Return the bytes of every agent's model, without its optimizer."""
    found = []
    for agent in results.document.agents:
        try:
            tensors, _, _ = read_checkpoint(results.folder.agent(agent.name) / CHECKPOINT)
        except CheckpointError:
            continue  # it was trained on another machine of the cluster
        model = (tensor for name, tensor in tensors.items() if name.startswith("model."))
        found.append(sum(tensor.numel() * tensor.element_size() for tensor in model))
    return found


def _provenance(results: Results) -> dict[str, str]:
    return {
        "seconds": tables.seconds_table(results.document.seconds),
        "versions": _versions(results.folder.path / "versions.json"),
        "settings": escape(results.folder.config_file.read_text(encoding="utf-8")),
        "refused_messages": tables.refused_messages(results.document.refused_messages),
    }


def _versions(recorded: Path) -> str:
    """Return the table of a file of versions, below it why it is empty."""
    try:
        found = json.loads(recorded.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tables.versions_table({})
    except OSError as error:
        return tables.versions_table({}, f"versions.json cannot be read: {error.strerror}")
    except ValueError as error:
        return tables.versions_table({}, f"versions.json cannot be read: {error}")
    if not isinstance(found, dict):
        return tables.versions_table({}, "versions.json cannot be read: it holds no table of versions")
    return tables.versions_table(found)
