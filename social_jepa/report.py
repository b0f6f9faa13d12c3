"""report.html: a finished run as one page for a person who has never seen the project; it needs no network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from agents.agent import stretches
from agents.checkpoint import CheckpointError, read_checkpoint
from agents.files import write_atomically
from env.scene import Scene, SceneConfig
from social_jepa import report_plots as plots
from social_jepa.config import RunConfig
from social_jepa.pictures import Observer, data_uri, same_ticks
from social_jepa.report_graph import draw_graph
from social_jepa.report_tables import agents_table, cycles_table, edges_table, escape, number, table
from social_jepa.results import Results

TICKS = 4  # instants that the page shows
PHASES = {
    "record": "rendering what cameras see, the slowest agent",
    "train": "training, the slowest agent",
    "negotiate": "agreeing on all maps",
    "total": "everything, from placing the agents on",
}


@dataclass(frozen=True)
class Sights:
    """What the cameras see.

    Attributes:
        ticks: Instants, from the stretch that scores.
        pictures: Data URIs by agent, one for each tick; empty without a renderer.
        trouble: Why there are no pictures.
    """

    ticks: tuple[int, ...]
    pictures: Mapping[str, Sequence[str]]
    trouble: str = ""


def write_report(results: Results) -> Path:
    """Write the run's report.html whole or not at all, and return its path.

    The page is a function of the run folder: writing it again gives the same bytes.
    """
    document, config = results.document, results.folder.config()
    sights = _look(config)
    sections = [
        _headline(document),
        _graph(document, config, sights),
        _sights(sights),
        _agents(document, config),
        _edges(document),
        _costs(results, config),
        _making(results),
    ]
    package = files("social_jepa")
    style, script = (package.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Social-JEPA: {len(document['agents'])} agents, seed {document['seed']}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n<main>\n" + "\n".join(sections) + f"\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )
    write_atomically(results.folder.report_file, page.encode())
    return results.folder.report_file


def _look(config: RunConfig) -> Sights:
    """Take the pictures; a machine without OpenGL still gets the rest of the page."""
    held = stretches(config.negotiation)[0]
    ticks = tuple(held[round(place)] for place in np.linspace(0, len(held) - 1, TICKS))
    try:
        with Observer(config) as observer:
            seen = same_ticks(observer, config.names(), ticks)
    except RuntimeError as error:
        return Sights(ticks, {}, str(error))
    return Sights(ticks, {name: [data_uri(pixels) for pixels in row] for name, row in seen.items()})


def _section(heading: str, lead: str, *parts: str) -> str:
    return f"<section>\n<h2>{escape(heading)}</h2>\n<p class=\"lead\">{lead}</p>\n" + "\n".join(parts) + "\n</section>"


def _headline(document: Mapping[str, Any]) -> str:
    agents, edges = len(document["agents"]), document["edges"]
    accepted = sum(edge["status"] == "accepted" for edge in edges)
    scored = [edge for edge in edges if edge["r2_core"] is not None]
    core, null = ([edge[key] for edge in scored] for key in ("r2_core", "null_r2"))
    compared = max((edge["anchors"] for edge in scored), default=0)
    tiles = [
        (str(agents), "agents", "each with a camera and a model of its own"),
        (f"{accepted} of {len(edges)}", "edges accepted", "every ordered pair was tried"),
        (number(float(np.mean(core)) if core else None, 2), "mean held-out core R²", f"worst edge {number(min(core, default=None), 2)}"),
        (number(float(np.mean(null)) if null else None, 2), "its shuffled null", f"highest {number(max(null, default=None), 2)}"),
        (f"{document['seconds'].get('total', 0.0):,.0f} s", "from start to graph", "recording, training, negotiating"),
    ]
    shown = "".join(f"<div><b>{value}</b><span>{name}</span><small>{note}</small></div>" for value, name, note in tiles)
    facts = (("seed", document["seed"]), ("settings", document["config_hash"]), ("scene", document["scene"]))
    return (
        f"<header>\n<p class=\"kicker\">Social-JEPA, report of a run</p>\n"
        f"<h1>{accepted} of {len(edges)} translations between {agents} agents hold on instants that none was fitted on</h1>\n"
        f'<p class="lead">{agents} agents watched one 3D scene, each from its own camera, and each learned alone to predict '
        "what comes next: no shared weights, gradients or pixels. Then every ordered pair compared what the two models "
        f"make of {compared} shared instants, and the receiver fitted one linear map into its own space. "
        "R² says how much of the receiver’s own view the translated view explains, always on held-out instants: "
        "1 is all of it, 0 is nothing.</p>\n"
        f'<div class="tiles">{shown}</div>\n<p class="facts">'
        + " · ".join(f"{name} <code>{escape(value)}</code>" for name, value in facts)
        + "</p>\n</header>"
    )


def _graph(document: Mapping[str, Any], config: RunConfig, sights: Sights) -> str:
    scene, tick = Scene(config.scene, config.seed), sights.ticks[0]
    pictures = {name: row[0] for name, row in sights.pictures.items()}
    steps = ("below 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 and more")
    swatches = [(f"q{index}", text) for index, text in enumerate(steps)] + [("refused", "refused"), ("failed", "failed")]
    legend = '<ul class="legend"><li>held-out core R²</li>' + "".join(
        f'<li><svg viewBox="0 0 26 10" aria-hidden="true"><g class="edge {kind}"><path d="M1,5H25" stroke-width="4"/></g></svg>{text}</li>'
        for kind, text in swatches
    )
    lists = [_reasons(document["edges"], False, "Not accepted"), _reasons(document["edges"], True, "Accepted, with a remark")]
    return _section(
        "The social translation graph",
        "The room from above: each picture stands where that agent’s camera stands, the faint wedge is where it looks, and "
        f"the pale squares are the objects at tick {tick}. An arrow from A to B is the map that carries A’s codes into B’s "
        "space; the darker and wider, the more survives. Its figure is the held-out core R².",
        f'<div class="card-panel">{draw_graph(document, config.scene, scene.state(tick), pictures)}{legend}</ul></div>',
        *(text for text in lists if text),
    )


def _reasons(edges: Sequence[Mapping[str, Any]], accepted: bool, heading: str) -> str:
    found = [edge for edge in edges if (edge["status"] == "accepted") is accepted and edge["reason"]]
    if not found:
        return "" if accepted else '<p class="note">No edge was refused.</p>'
    items = "".join(
        f'<li><b class="{escape(edge["status"])}">{escape(edge["source"])} → {escape(edge["target"])}</b> {escape(edge["reason"])}</li>'
        for edge in found
    )
    return f'<h3>{heading}</h3><ul class="reasons">{items}</ul>'


def _sights(sights: Sights) -> str:
    lead = (
        "Each row is one camera, each column one instant. The objects are the same; their places in the pictures are not, "
        "and nobody’s pixels ever left their agent. The pictures are replayed here for the reader, as small as the models see them."
    )
    if sights.trouble:
        return _section("What each camera sees", lead, f'<p class="note">No pictures: {escape(sights.trouble)}</p>')
    head = "".join(f'<th scope="col">tick {tick}</th>' for tick in sights.ticks)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(
            f'<td><img class="pixels" src="{uri}" alt="{escape(name)} at tick {tick}"></td>'
            for tick, uri in zip(sights.ticks, row, strict=True)
        )
        + "</tr>"
        for name, row in sights.pictures.items()
    )
    return _section("What each camera sees", lead, f'<table class="sights"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>')


def _colors(agents: Sequence[Mapping[str, Any]]) -> str:
    items = "".join(
        f'<li><i style="background:var(--{plots.color(index)})"></i>{escape(agent["name"])}</li>' for index, agent in enumerate(agents)
    )
    return f'<ul class="legend">{items}</ul>'


def _plots(figures: Sequence[str], kind: str) -> str:
    return f'<div class="plots {kind}">' + "\n".join(figures) + "</div>"


def _rate(scene: SceneConfig) -> float | None:
    rates = set(scene.coordinate_rates)
    return rates.pop() if scene.dynamics == "ornstein_uhlenbeck" and len(rates) == 1 else None


def _agents(document: Mapping[str, Any], config: RunConfig) -> str:
    agents, rate = document["agents"], _rate(config.scene)
    theory = (
        f" The dashed lines are where theory puts the places of the objects ({number(rate, 2)}) and products of two of them ({number(rate**2, 2)})."
        if rate is not None else ""
    )  # fmt: skip
    return _section(
        "The agents, each alone",
        "What every agent became before it met anyone. Probe R² says how much of the true state of the scene is in its code; "
        "an agent that collapsed has learned nothing and is refused by its peers.",
        agents_table(agents),
        f'<p class="lead">Loss by training step, every agent in its own colour.</p>{_colors(agents)}',
        _plots([plots.loss_plot(agents)], "wide"),
        '<p class="lead">Each dot is one dimension of an agent’s code: its height is the correlation of its value with the value one '
        "tick later, on ticks that neither training nor the choice of axes saw. Filled dots in the tinted band are the predictable core."
        f"{theory}</p>",
        _plots(plots.core_plots(agents, rate), "small"),
    )


def _edges(document: Mapping[str, Any]) -> str:
    agents, edges = document["agents"], document["edges"]
    return _section(
        "The edges",
        "One row for each ordered pair; every figure is held-out. R² core and R² all explain different targets (the receiver’s core, "
        "all its dimensions), and with cores of unequal size R² core cannot reach 1, so compare along a column with that in mind.",
        edges_table(edges),
        '<p class="lead">Singular values of the map into each agent, coloured by who speaks. All near the line at 1 is an isometry: '
        "the two agents’ spaces differ by a rotation. The dashed curves are the same with shuffled pairs, the most of several shuffles.</p>",
        _colors(agents),
        _plots(plots.spectrum_plots(agents, edges), "small"),
        '<h3>Cycles</h3><p class="lead">Held-out codes carried around three agents and back: the squared distance from where they left, relative to '
        "their size. 0 is a graph that agrees with itself, about 2 is unrelated maps.</p>",
        cycles_table(document["cycles"]),
    )


def _costs(results: Results, config: RunConfig) -> str:
    edges = [edge for edge in results.document["edges"] if edge["anchors"]]
    lead = "How little has to be said. Left, how good a map gets with how few shared instants; right, what an edge cost on the wire."
    if not edges:
        return _section("What an edge costs", lead, '<p class="note">No edge got as far as comparing anchors.</p>')
    weights = []
    for agent in results.document["agents"]:
        try:
            tensors, _, _ = read_checkpoint(results.folder.agent(agent["name"]) / "checkpoint.safetensors")
        except CheckpointError:
            continue  # it was trained on another machine of the cluster
        model = (tensor for name, tensor in tensors.items() if name.startswith("model."))
        weights.append(sum(tensor.numel() * tensor.element_size() for tensor in model))
    ticks = max(edge["anchors"] + edge["heldout"] for edge in edges)
    pixels = ticks * 3 * config.scene.frame_size**2
    figures = [
        plots.budget_plot(results.document["budget"]),
        plots.cost_plot([edge["bytes"] for edge in edges], weights, pixels, ticks),
    ]
    methods = "".join(
        f'<li><i style="background:var(--{ink})"></i>{escape(meaning)}</li>' for ink, _, meaning in plots.METHODS.values()
    )
    return _section(
        "What an edge costs", lead,
        f'<p class="lead">On the left, solid is the mean over edges and dotted the worst edge; a rotation maps cores, ridge maps everything, so '
        "their targets differ.</p>"
        f'<ul class="legend">{methods}</ul>', _plots(figures, "wide"),
    )  # fmt: skip


def _making(results: Results) -> str:
    folder = results.folder
    seconds = [
        (escape(name), f"{value:,.1f}", escape(PHASES.get(name, ""))) for name, value in results.document["seconds"].items()
    ]
    made_with = folder.path / "versions.json"
    versions = json.loads(made_with.read_text()) if made_with.exists() else {}
    refused = results.document["refused_frames"]
    frames = "".join(f"<li>{escape(text)}</li>" for text in refused)
    return _section(
        "How it was made",
        "Equal settings and an equal seed give the same scene and the same agents, bit for bit on one machine and one version of torch.",
        f'<div class="columns"><div><h3>Seconds</h3>{table("seconds by phase", ("phase", "seconds", "of what|"), seconds)}</div>'
        f'<div><h3>Versions</h3>{table("versions", ("what", "version|"), [(escape(a), escape(b)) for a, b in versions.items()])}</div></div>',
        f'<details><summary>Frames that an agent refused to read ({len(refused)})</summary><ul class="reasons">{frames}</ul></details>' if refused else "",
        f"<details><summary>All settings (config.toml)</summary><pre>{escape(folder.config_file.read_text())}</pre></details>",
        "<h3>Again</h3><p>In this run’s folder, on the command line:</p>"
        "<pre>social-jepa run --config config.toml --out again     # the same run, into a new folder\n"
        "social-jepa query . --from agent-0 --to agent-1      # translate what one sees for another\n"
        "social-jepa report .                                 # this page, again</pre>",
    )
