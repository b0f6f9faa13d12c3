"""The social translation graph as SVG: agents at the positions of their cameras, edges as curved arrows."""

import cmath
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alignment.status import Status
from env.appearance import OBJECT_COLORS
from env.camera import Pose
from env.scene import SceneConfig
from env.scene_state import SceneState
from social_jepa.graph.results import Results
from social_jepa.records import AgentRecord, EdgeRecord
from social_jepa.report.tables import escape, number

WIDTH = 760.0  # units of the drawing
BEND = 0.13  # how far an edge curves away from the straight line, as a share of its length
VIEW_RING = 4.8  # radius of the ring of views of a source of frames, which have no place; any number would do
VIEW = 2.6  # meters of the faint wedge that shows a camera's direction
MAX_LABELED = 8  # agents up to which every edge has a label
STEPS = 120  # samples of a curve, to find where it leaves a card
SIDES = {4: 108.0, 8: 84.0, 24: 48.0, math.inf: 32.0}  # side of a picture by the number of agents
CLASSES = (0.2, 0.4, 0.6, 0.8)  # thresholds between the five shades of an edge

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Layout:
    """The room seen from above, x to the right and z down the page; points are complex numbers.

    Attributes:
        cameras: Position of each camera, in units of the drawing.
        cards: Center of each agent's card: its camera, unless two cards would overlap.
        side: Side of the square picture on a card.
        scale: Units per meter.
        origin: Center of the room.
        height: Height of the drawing.
    """

    cameras: Mapping[str, complex]
    cards: Mapping[str, complex]
    side: float
    scale: float
    origin: complex
    height: float

    @property
    def caption(self) -> float:
        """Height of the name below the picture."""
        return max(0.3 * self.side, 16.0)

    def card(self, name: str, gap: float = 0.0) -> Box:
        """Return the box of an agent's picture and name, enlarged by a gap."""
        center, half = self.cards[name], self.side / 2 + gap
        bottom = center.imag + half + self.caption
        return center.real - half, center.imag - half, center.real + half, bottom


@dataclass(frozen=True)
class AgentCard:
    """One agent of the drawing.

    Attributes:
        name: Its name.
        pose: Pose of its camera.
        published: Its record; None while it has not published a model of its view.
    """

    name: str
    pose: Pose
    published: AgentRecord | None = None


def agent_cards(results: Results) -> list[AgentCard]:
    """Return the agents of a graph, by index, those without a published model included."""
    published = {agent.name: agent for agent in results.document.agents}
    return [
        AgentCard(member.name, Pose.parse(member.pose), published.get(member.name))
        for member in results.members
    ]


def lay_out(agents: Sequence[AgentCard], room_size: float) -> Layout:
    """Return a layout in which the whole room fits and no two cards overlap; views stand on a ring."""
    places = {
        agent.name: complex(agent.pose.x, agent.pose.z)
        if agent.pose.view is None
        else cmath.rect(VIEW_RING, math.tau * index / len(agents))
        for index, agent in enumerate(agents)
    }
    side = next(size for most, size in SIDES.items() if len(agents) <= most)
    spacing = 2.3 if len(agents) <= MAX_LABELED else 1.75  # room for the labels of short edges
    corner = complex(room_size, room_size) / 2
    points = [*places.values(), corner, -corner]
    left, right = min(p.real for p in points), max(p.real for p in points)
    top, bottom = min(p.imag for p in points), max(p.imag for p in points)
    margin = side * 0.72
    scale = (WIDTH - 2 * margin) / (right - left)
    origin = complex(margin - left * scale, margin - top * scale)
    height = (bottom - top) * scale + 2 * margin + 0.3 * side
    cameras = {name: origin + place * scale for name, place in places.items()}
    cards = _apart(cameras, spacing * side, (side * 0.6, side * 0.6, WIDTH - side * 0.6, height - side * 0.9))
    return Layout(cameras, cards, side, scale, origin, height)


def _apart(places: Mapping[str, complex], least: float, box: Box) -> dict[str, complex]:
    """Return points moved inside a box until no two are closer than ``least``."""
    names, points = list(places), list(places.values())
    for _ in range(300):
        moved = False
        for i in range(len(points)):
            for j in range(i):
                gap = points[i] - points[j]
                if abs(gap) < least - 1e-6:
                    direction = gap / abs(gap) if abs(gap) > 1e-9 else cmath.rect(1, 2.4 * i)
                    shift = direction * (least - abs(gap)) / 2
                    points[i], points[j], moved = points[i] + shift, points[j] - shift, True
        points = [complex(min(max(p.real, box[0]), box[2]), min(max(p.imag, box[1]), box[3])) for p in points]
        if not moved:
            break
    return dict(zip(names, points, strict=True))


def draw_graph(
    agents: Sequence[AgentCard],
    edges: Sequence[EdgeRecord],
    scene: SceneConfig,
    state: SceneState,
    pictures: Mapping[str, str],
) -> str:
    """Return the graph as an SVG element of a page.

    Args:
        agents: Agents to draw.
        edges: Edges between them.
        scene: Sizes of the room and its objects; a source of frames has neither.
        state: State of the scene at the tick of the pictures.
        pictures: View of each camera at that tick, as a data URI; may be empty.
    """
    drawing = lay_out(agents, VIEW_RING if scene.source else scene.room_size)
    room = "" if scene.source else f"{_room(scene, state, drawing)}\n{_views(agents, drawing)}"
    sizes = "" if scene.source else f'data-room="{scene.room_size:g}" data-scale="{drawing.scale:.3f}" '
    label = "The translation graph" + ("" if scene.source else ", seen from above the room")
    taken = [drawing.card(agent.name) for agent in agents]
    arrows = [_arrow(edge, drawing, len(agents), taken) for edge in sorted(edges, key=_rank)]
    lines = "\n".join(line for line, _ in arrows)
    labels = "\n".join(label for _, label in arrows if label)
    cards = "\n".join(_card(agent, drawing, pictures.get(agent.name)) for agent in agents)
    size = "few" if len(agents) <= 4 else "some" if len(agents) <= MAX_LABELED else "many"
    return (
        f'<svg class="graph {size}" viewBox="0 0 {WIDTH:.0f} {drawing.height:.0f}" role="img" '
        f'{sizes}aria-label="{label}">\n{room}\n{lines}\n{cards}\n{labels}\n</svg>'
    )


def _rank(edge: EdgeRecord) -> tuple[bool, float]:
    """Return the drawing order: weak edges, strong edges, and edges that were not accepted on top."""
    return edge.status != Status.ACCEPTED, edge.r2_shared or 0.0


def _room(scene: SceneConfig, state: SceneState, drawing: Layout) -> str:
    size, place = scene.room_size * drawing.scale, drawing.origin
    room = (
        f'<rect class="room" x="{place.real - size / 2:.1f}" y="{place.imag - size / 2:.1f}" '
        f'width="{size:.1f}" height="{size:.1f}"/>'
    )
    for x1, z1, x2, z2 in scene.interior_walls.segments:
        ends = (place + complex(x, z) * drawing.scale for x, z in ((x1, z1), (x2, z2)))
        room += f'<path class="room" d="M{"L".join(map(_xy, ends))}"/>'
    edge = scene.object_size * drawing.scale
    boxes = []
    for color, (x, z), yaw in zip(OBJECT_COLORS, state.positions, state.yaws, strict=False):
        at = place + complex(x, z) * drawing.scale
        fill = "#" + "".join(f"{round(255 * channel):02x}" for channel in color)
        boxes.append(
            f'<rect class="object" fill="{fill}" x="{-edge / 2:.1f}" y="{-edge / 2:.1f}" width="{edge:.1f}" '
            f'height="{edge:.1f}" transform="translate({at.real:.1f} {at.imag:.1f}) rotate({-yaw:.1f})"/>'
        )
    return room + "".join(boxes)


def _views(agents: Sequence[AgentCard], drawing: Layout) -> str:
    parts = []
    for agent in agents:
        pose, at, card = agent.pose, drawing.cameras[agent.name], drawing.cards[agent.name]
        angles = [math.radians(-pose.yaw + side * pose.fov / 2) for side in (-1, 1)]
        a, b = (at + cmath.rect((VIEW * drawing.scale), angle) for angle in angles)
        wide = int(pose.fov > 180)
        radius = VIEW * drawing.scale
        parts.append(
            f'<path class="view" d="M{_xy(at)}L{_xy(a)}A{radius:.1f} {radius:.1f} 0 {wide} 1 {_xy(b)}Z"/>'
        )
        if abs(card - at) > 4:
            parts.append(f'<path class="leader" d="M{_xy(at)}L{_xy(card)}"/>')
    return "".join(parts)


def _card(agent: AgentCard, drawing: Layout, picture: str | None) -> str:
    left, top, right, bottom = drawing.card(agent.name, 4.0)
    name, side = escape(agent.name), drawing.side
    image = f'<image href="{picture}" x="{left + 4:.1f}" y="{top + 4:.1f}" width="{side}" height="{side}"/>'
    blank = f'<rect class="blank" x="{left + 4:.1f}" y="{top + 4:.1f}" width="{side}" height="{side}"/>'
    middle, line = (left + right) / 2, bottom - 4 - drawing.caption / 2
    published = agent.published
    state = ": no published model of its view yet"
    if published is not None:
        core = f": {published.core_dim} of {published.dim} dimensions are core"
        state = ": collapsed" if published.collapsed else core
    return (
        f'<g class="card" data-agent="{name}" tabindex="0"><title>{name}{state}</title>'
        f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" rx="6"/>{image if picture else blank}'
        f'<text class="name" x="{middle:.1f}" y="{line:.1f}" dy=".36em">{name}</text></g>'
    )


def _arrow(edge: EdgeRecord, drawing: Layout, count: int, taken: list[Box]) -> tuple[str, str]:
    """Return an edge's arrow, and its label if edges are labeled."""
    curve = _visible(edge, drawing)
    accepted = edge.status == Status.ACCEPTED
    quality = min(max(edge.r2_shared or 0.0, 0.0), 1.0)
    thin = 1.0 if count <= 4 else 0.6 if count <= MAX_LABELED else 0.3
    width = thin * (1.2 + 4.3 * quality if accepted else 1.8)
    kind = f"q{sum(quality >= threshold for threshold in CLASSES)}" if accepted else escape(edge.status)
    scores = (
        f"{edge.shared_dim} of {min(edge.core_dims)} directions shared, held-out R² {number(edge.r2_shared)}"
    )
    title = f"{edge.source} → {edge.target}, {edge.status}: {scores}. {edge.reason}".strip()
    ends = f'data-from="{escape(edge.source)}" data-to="{escape(edge.target)}"'
    line = f'<g class="edge {kind}" {ends}><title>{escape(title)}</title>{_stroke(curve, width)}</g>'
    if count > MAX_LABELED:
        return line, ""
    text = "none" if edge.r2_shared is None else number(edge.r2_shared, 2)
    at = _free_spot(curve, drawing, text, taken)
    position = f'x="{at.real:.1f}" y="{at.imag:.1f}" dy=".36em"'
    return line, f'<text class="figure {kind}" {ends} {position}>{escape(text)}</text>'


def _visible(edge: EdgeRecord, drawing: Layout) -> list[complex]:
    """Return points along an edge from where it leaves one card to where it reaches the other."""
    a, b = drawing.cards[edge.source], drawing.cards[edge.target]
    control = (a + b) / 2 + 1j * (b - a) * BEND  # to its right: the reverse edge curves to the other side
    times = (step / STEPS for step in range(STEPS + 1))
    curve = [(1 - t) ** 2 * a + 2 * t * (1 - t) * control + t * t * b for t in times]
    leave, arrive = drawing.card(edge.source, 5), drawing.card(edge.target, 7)
    free = [step for step, at in enumerate(curve) if not _inside(at, leave) and not _inside(at, arrive)]
    return curve[free[0] : free[-1] + 1] if len(free) > 1 else curve


def _stroke(curve: Sequence[complex], width: float) -> str:
    """Return a line with a head; the line ends where the head begins."""
    tip, head = curve[-1], 5.0 + 1.9 * width
    last = max((step for step, at in enumerate(curve) if abs(at - tip) >= head), default=0)
    direction = (tip - curve[last]) / (abs(tip - curve[last]) or 1.0)
    sides = [curve[last] + direction * 1j * turn * head * 0.42 for turn in (1, -1)]
    line = "L".join(_xy(at) for at in [*curve[:last:4], curve[last]])
    points = " ".join(_xy(corner) for corner in (tip, *sides))
    return f'<path d="M{line}" stroke-width="{width:.2f}"/><polygon points="{points}"/>'


def _free_spot(curve: Sequence[complex], drawing: Layout, text: str, taken: list[Box]) -> complex:
    """Return the point on a curve where a label overlaps least, preferably near the head; and reserve it."""
    half = complex(0.055 * drawing.side * len(text) + 2, 0.11 * drawing.side)
    shares = (0.72, 0.66, 0.78, 0.6, 0.84, 0.54, 0.48, 0.42, 0.36, 0.3, 0.24)
    spots = [curve[round(share * (len(curve) - 1))] for share in shares]
    boxes = [(s.real - half.real, s.imag - half.imag, s.real + half.real, s.imag + half.imag) for s in spots]
    best = min(range(len(spots)), key=lambda i: sum(_overlap(boxes[i], other) for other in taken))
    taken.append(boxes[best])
    return spots[best]


def _overlap(a: Box, b: Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _inside(point: complex, box: Box) -> bool:
    return box[0] <= point.real <= box[2] and box[1] <= point.imag <= box[3]


def _xy(point: complex) -> str:
    return f"{point.real:.1f},{point.imag:.1f}"
