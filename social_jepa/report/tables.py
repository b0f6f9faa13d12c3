"""Tables, legends and lists of the report, as HTML."""

import html
from collections.abc import Iterable, Mapping, Sequence

from alignment.status import Status
from env.camera import Pose
from social_jepa.records import (
    AgentRecord,
    CycleRecord,
    EdgeRecord,
    MemberRecord,
    PhaseSeconds,
    TrustRecord,
    as_dict,
)

MAX_CYCLES = 24  # rows of the table of cycles; graph.json has all of them
UNSCORED = (
    "cycles of accepted edges cannot be scored: the anchors of their first agent are not in the run folder, "
    "or they are of another model"
)

SHADES = ("below 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 and more")
PHASES = {
    "record": "rendering and encoding; the slowest agent",
    "train": "training; the slowest agent",
    "negotiate": "negotiating all edges",
    "total": "everything, including the start of Ray",
}
AGENT_TERMS = {
    "camera": "Position: x, height, z in meters. Direction: yaw and pitch in degrees.",
    "core": "Number of dimensions in its core, which rotations compare.",
    "effective rank": "Exponential of the entropy of its latents’ covariance spectrum: dimensions in use.",
    "probe R²": "Share of the scene’s true state that a linear read-out of its latents explains. "
    "For the observer only: agents do not know the true state.",
    "encoders": "Encoders that its latent is composed of; each after the first for what functions of the "
    "core so far cannot explain.",
    "steps": "Training steps of the first encoder, + those of further ones, one that found nothing included.",
    "frames/s": "Frames read per second of training time.",
    "checkpoint": "Hash of its weights, which it does not send.",
}
EDGE_TERMS = {
    "shared": "Number of directions that the two cores share, of the core dimensions of source and target: "
    "those whose correlation on held-out ticks exceeds the null. The rest is private.",
    "R² shared": "Of the map of these directions: 1 is perfect, 0 is no better than the mean.",
    "R² all": "Of the linear (ridge) map between all dimensions.",
    "correlations": "Smallest to largest of the shared directions, on held-out ticks; all near 1 is an "
    "isometry.",
    "null": "Largest correlation of any direction when the target is shifted in time: the level of chance.",
    "latent": "Shared directions of all dimensions, functions of factors included.",
    "κ": "Largest over smallest correlation of the shared directions; 1 is an isometry.",
    "isometry dev.": "√ mean (1 − c²)² over these correlations c: 0 is an isometry, 1 is nothing in common.",
    "retrieval@1": "Share of ticks whose translated latent is nearest to the receiver’s latent of that tick.",
    "CKA": "Linear centered kernel alignment of all dimensions; needs no map.",
    "k-NN": "Share of each tick’s 10 nearest ticks that both agents agree on; needs no map.",
    "pairs": "Anchor pairs that the map was fitted on + held-out pairs that all scores come from.",
    "bytes": "Bytes that both peers sent for this edge.",
}

RAW_TERMS = {
    "R²": "Of the least-squares map between latents before any whitening.",
    "R² similarity": "Of the best rotation with one scale and an offset: near R² where two agents agree in "
    "lengths and angles too.",
    "κ": "Largest over smallest singular value of the least-squares map; 1 keeps all proportions.",
}


def escape(text: object) -> str:
    """Return text as HTML that shows it unchanged."""
    return html.escape(str(text))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a minus sign (not a hyphen), or a dash for None."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def plain(value: float) -> str:
    """Return a coordinate rounded to two decimals."""
    return f"{round(value, 2) + 0.0:g}".replace("-", "−")


def in_bytes(count: float) -> str:
    """Return a size with its unit: 49,954 -> 50 kB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.3g} {unit}"


def table(label: str, headings: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 1) -> str:
    """Return a table that scrolls horizontally by itself.

    Args:
        label: Name for screen readers.
        headings: Plain text; a heading that ends in ``|`` is a column of text.
        rows: Cells, already HTML.
        text_columns: Number of columns of text from the left; the rest are numbers.
    """
    kinds = [
        "text" if index < text_columns or name.endswith("|") else "figure"
        for index, name in enumerate(headings)
    ]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name.rstrip("|"))}</th>'
        for kind, name in zip(kinds, headings, strict=True)
    )
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds[1:], row[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def terms(meanings: Mapping[str, str]) -> str:
    """Return the meanings of columns, collapsed."""
    entries = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in meanings.items()
    )
    return f"<details><summary>What the columns mean</summary><dl>{entries}</dl></details>"


def agents_table(members: Sequence[MemberRecord], published: Mapping[str, AgentRecord]) -> str:
    """Return one row for each agent.

    Args:
        members: All agents.
        published: Records of those that have published a model of their current view, by name.
    """
    headings = (
        "agent", "model|", "camera|", "device|", "dims", "core", "encoders", "effective rank", "probe R²",
        "steps", "frames", "frames/s", "checkpoint|",
    )  # fmt: skip
    rows = []
    for member in members:
        pose, agent = Pose.parse(member.pose), published.get(member.name)
        place = ", ".join(plain(value) for value in (pose.x, pose.y, pose.z))
        camera = f"({place}) m, yaw {plain(pose.yaw)}°, pitch {plain(pose.pitch)}°"
        camera = camera if pose.view is None else f"view {pose.view}"
        if agent is None:
            rows.append((
                escape(member.name), escape(member.kind), camera, *["–"] * (len(headings) - 4),
                "no model of its view yet",
            ))  # fmt: skip
            continue
        steps = f"{agent.steps:,}" + (f" + {agent.stage_steps:,}" if agent.stage_steps else "")
        core = '<span class="refused">collapsed</span>' if agent.collapsed else str(agent.core_dim)
        rows.append((
            escape(agent.name), escape(agent.kind), camera, escape(agent.device),
            str(agent.dim), core, str(agent.encoders), number(agent.effective_rank, 1),
            number(agent.probe_r2),
            steps, f"{agent.frames:,}", f"{agent.frames_per_s:,.0f}",
            f"<code>{escape(agent.checkpoint[:8])}</code>",
        ))  # fmt: skip
    return table("agents", headings, rows) + terms(AGENT_TERMS)


def edges_table(edges: Sequence[EdgeRecord]) -> str:
    """Return one row for each ordered pair."""
    headings = (
        "edge", "status|", "shared", "R² shared", "R² all", "correlations", "null", "latent", "κ",
        "isometry dev.", "retrieval@1", "CKA", "k-NN", "pairs", "bytes", "reason|",
    )  # fmt: skip
    rows = []
    for edge in edges:
        values = edge.correlations[: edge.shared_dim]
        span = f"{number(min(values))}–{number(max(values))}" if values else "–"
        rows.append((
            f"{escape(edge.source)} → {escape(edge.target)}",
            f'<span class="{escape(edge.status)}">{escape(edge.status)}</span>',
            f"{edge.shared_dim} of {'→'.join(map(str, edge.core_dims))}",
            f"<b>{number(edge.r2_shared)}</b>", number(edge.r2), span, number(edge.null_correlation),
            str(edge.latent_shared_dim), number(edge.kappa, 2), number(edge.isometry_deviation),
            number(edge.retrieval_at_1), number(edge.cka), number(edge.mutual_knn),
            f"{edge.anchors} + {edge.heldout}", f"{edge.bytes:,}", escape(edge.reason),
        ))  # fmt: skip
    return table("edges, held-out scores", headings, rows) + terms(EDGE_TERMS)


def raw_table(edges: Sequence[EdgeRecord]) -> str:
    """Return the scores of the maps between raw latents; a sentence where a raw metric has no meaning."""
    measured = [edge for edge in edges if edge.raw]
    if not measured:
        return '<p class="note">A raw metric has no meaning for the objective of these agents.</p>'
    headings = ("edge", "directions|", "number", "R²", "R² similarity", "κ", "singular values")
    rows = [
        (
            f"{escape(edge.source)} → {escape(edge.target)}", part, str(raw.directions), number(raw.r2),
            number(raw.r2_similarity), number(raw.kappa, 2),
            f"{number(raw.smallest)}–{number(raw.largest)}",
        )
        for edge in measured
        for part, raw in (("all", edge.raw), ("correlation ≥ 0.5", edge.raw_strong))
        if raw
    ]  # fmt: skip
    return table("maps between raw latents, held-out scores", headings, rows) + terms(RAW_TERMS)


def cycles_table(cycles: Sequence[CycleRecord], unscored: int = 0, unlisted: int = 0) -> str:
    """Return the cycles with the largest error first, and the number of those that could not be scored.

    Args:
        cycles: The cycles that are scored.
        unscored: Number of further ones that cannot be.
        unlisted: Number of further ones that were not drawn.
    """
    gone = f'<p class="note">{unscored} {UNSCORED}.</p>' if unscored else ""
    if not cycles:
        none = '<p class="note">There is no cycle of accepted edges through three agents.</p>'
        return gone or none
    worst = sorted(cycles, key=lambda cycle: -1.0 if cycle.error is None else cycle.error, reverse=True)
    rows = [
        (
            " → ".join(escape(name) for name in (*cycle.agents, cycle.agents[0])),
            str(cycle.dim),
            number(cycle.error, 4),
        )
        for cycle in worst[:MAX_CYCLES]
    ]
    left = len(worst) - len(rows)
    note = f'<p class="note">{left} more with smaller errors are in graph.json.</p>' if left else ""
    sample = f"{len(cycles):,} cycles were drawn at random; {unlisted:,} were not."
    drawn = f'<p class="note">{sample}</p>' if unlisted else ""
    return table("cycles of three agents", ("cycle", "shared", "error"), rows) + note + gone + drawn


def trust_table(records: Sequence[TrustRecord]) -> str:
    """Return how far others confirm each agent."""
    rows = [
        (
            escape(record.agent), number(record.trust, 2), str(record.confirmed), str(record.contradicted),
            escape(record.reason),
        )
        for record in records
    ]  # fmt: skip
    return table("trust", ("agent", "trust", "confirm it", "contradict it", "flagged, because|"), rows)


def seconds_table(seconds: PhaseSeconds | None) -> str:
    """Return the seconds of every phase."""
    spent_by_phase = as_dict(seconds) if seconds else {}
    rows = [(escape(name), f"{spent:,.1f}", PHASES.get(name, "")) for name, spent in spent_by_phase.items()]
    return table("seconds by phase", ("phase", "seconds", "what it includes|"), rows)


def versions_table(versions: Mapping[str, object], trouble: str = "") -> str:
    """Return the versions of the run's packages, and below them why some are missing; else empty."""
    rows = [(escape(name), escape(version)) for name, version in versions.items()]
    note = f'<p class="note">{escape(trouble)}</p>' if trouble else ""
    return table("versions", ("package", "version|"), rows) + note


def pictures(ticks: Sequence[int], rows: Mapping[str, Sequence[str]], trouble: str) -> str:
    """Return the views of all cameras, one row per agent and one column per tick; or why there are none."""
    if trouble:
        return f'<p class="note">No pictures: {escape(trouble)}</p>'
    head = "".join(f'<th scope="col">tick {tick}</th>' for tick in ticks)
    body = ""
    for name, row in rows.items():
        cells = "".join(
            f'<td><img class="pixels" src="{uri}" alt="{escape(name)} at tick {tick}"></td>'
            for tick, uri in zip(ticks, row, strict=True)
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>\n'
    return f'<table class="views"><thead><tr><td></td>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>'


def reasons(heading: str, edges: Sequence[EdgeRecord]) -> str:
    """Return the reasons of edges, each once with its edges; empty if there are no edges."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        by_reason.setdefault((edge.status, edge.reason), []).append(f"{edge.source} → {edge.target}")
    items = "".join(
        f'<li><b class="{escape(status)}">{escape(status)}</b> {escape(reason)}<br>'
        + " ".join(f"<span>{escape(pair)}</span>" for pair in pairs)
        + "</li>\n"
        for (status, reason), pairs in by_reason.items()
    )
    return f'<h3>{escape(heading)}</h3>\n<ul class="reasons">\n{items}</ul>' if items else ""


def refused_messages(sentences: Sequence[str]) -> str:
    """Return the messages that agents refused to read, in a collapsed section."""
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
    summary = f"Messages that an agent refused to read ({len(sentences)})"
    return f'<details><summary>{summary}</summary><ul class="reasons">\n{items}</ul></details>'


def legend(colors: Iterable[tuple[str, str]]) -> str:
    """Return a legend of (name of a color, meaning)."""
    items = "".join(f'<li><i style="background:var(--{ink})"></i>{escape(text)}</li>' for ink, text in colors)
    return f'<ul class="legend">{items}</ul>'


def shades() -> str:
    """Return a legend of the arrows of the graph."""
    kinds = [
        *((f"q{index}", text) for index, text in enumerate(SHADES)),
        *((status, status) for status in (Status.STALE, Status.REFUSED, Status.FAILED)),
    ]
    arrow = '<g class="edge {}"><path d="M1,5H25" stroke-width="4"/></g>'
    sample = f'<svg viewBox="0 0 26 10" aria-hidden="true">{arrow}</svg>'
    items = "".join(f"<li>{sample.format(kind)}{text}</li>" for kind, text in kinds)
    return f'<ul class="legend"><li>held-out R² of what two agents share</li>{items}</ul>'


def gallery(plots: Sequence[str], kind: str) -> str:
    """Return plots in a grid; kind is "wide" or "small"."""
    two = " pairs" if len(plots) in (2, 4) else ""
    return f'<div class="plots {kind}{two}">\n' + "\n".join(plots) + "\n</div>"
