"""A run as notebooks read it: agents, edges, maps and queries of a folder, whether or not it is up."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from alignment.arrays import AlignmentError, AnyArray, Array, check_finite, to_tensor
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from social_jepa.config.run_config import RunConfig
from social_jepa.config.time_parsing import FOREVER, check_not_future, parse_time
from social_jepa.graph import query as queries
from social_jepa.graph.data_frames import agent_rows, edge_rows, to_data_frame
from social_jepa.graph.edge_lookup import find_edge
from social_jepa.graph.observer import Observer
from social_jepa.graph.results import Results, read_results
from social_jepa.graph.results_errors import NoAgentsError
from social_jepa.pretrained import SceneName
from social_jepa.pretrained.archive import archive_of, unpack
from social_jepa.records import AgentRecord, EdgeRecord, QueryAnswer
from social_jepa.report.drawing import run_html
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import AnyPath, RunFolder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Via = str | Sequence[str] | None


class Run:
    """A run folder: its graph, its maps, and queries of them. `social_jepa.open` makes one of a path.

    Everything is read from the ledger when it is asked for, so that a run that is up shows its newest state.

    ::

        run = sj.open("runs/first")
        run.edges.sort_values("r2_shared")
        latents = run.encode("agent-0", ticks=[40])
        run.map("agent-0", "agent-3")(latents)

    Attributes:
        folder: The run folder.
    """

    def __init__(self, folder: AnyPath) -> None:
        self.folder = RunFolder.at(folder)
        self._newest: tuple[tuple[int, int, int], Results] | None = None

    def __repr__(self) -> str:
        """Return the folder and its state."""
        text = str(self.folder.path)
        return f"{type(self).__name__}({text if len(text) <= 100 else f'…{text[-100:]}'!r}, {self._state()})"

    def _repr_html_(self) -> str:
        """Return the state, the agents in their room, and the matrix of R2."""
        title = f"{self.folder.path}: {self._state()}"
        try:
            return run_html(title, self.results())
        except NoAgentsError:
            return run_html(title)

    def _state(self) -> str:
        return "not up"

    @property
    def config(self) -> RunConfig:
        """Settings of the run."""
        return self.folder.config()

    def results(self, as_of: float | str = FOREVER) -> Results:
        """Return the translation graph: the newest, or that at a time.

        Args:
            as_of: Seconds since the epoch, or what ``social-jepa graph --as-of`` takes: "14:30",
                "5 minutes ago".

        Raises:
            TimeError: A text is no time, or it has not come yet.
            LedgerError: The ledger is missing, damaged or of another format.
            NoAgentsError: There were no agents at that time.
        """
        time = parse_time(as_of) if isinstance(as_of, str) else check_not_future(as_of)
        check = self._newest is None  # the file as a whole, when it is opened first
        with contextlib.closing(Ledger(self.folder.ledger_file, read_only=True, check=check)) as ledger:
            if time < FOREVER:
                return read_results(self.folder, self.config, ledger, time)
            version = ledger.version()
            if self._newest is None or self._newest[0] != version:
                self._newest = version, read_results(self.folder, self.config, ledger)
            return self._newest[1]

    @property
    def graph(self) -> TranslationGraph:
        """The newest graph: paths, cycles, and why there is no path."""
        return self.results().graph

    @property
    def agents(self) -> "pd.DataFrame | list[dict[str, Any]]":
        """One row for each agent: a DataFrame where pandas is installed, else a list of dicts."""
        return to_data_frame(agent_rows(self.results()))

    @property
    def edges(self) -> "pd.DataFrame | list[dict[str, Any]]":
        """One row for each edge: a DataFrame where pandas is installed, else a list of dicts."""
        return to_data_frame(edge_rows(self.results()))

    def agent(self, name: str) -> AgentRecord:
        """Return the record of an agent's published model.

        Raises:
            UnknownAgentError: There is no such agent.
            NotPublishedError: It has not published a model of its current view.
        """
        return self.results().agent(name)

    def edge(self, source: str, target: str) -> EdgeRecord:
        """Return the record of an edge: scores, versions, verdict.

        Raises:
            UnknownAgentError: There is no such agent.
            UnsettledEdgeError: The two have not settled that edge.
        """
        return find_edge(self.results(), source, target)

    def map(self, source: str, target: str, via: Via = None) -> LinearMap:
        """Return the map from the core of one agent to that of another.

        Args:
            source: Agent whose core latents it takes.
            target: Agent into whose core it maps.
            via: Agents to go through, "best" or "universe"; by default the direct edge.

        Raises:
            UnknownAgentError, NoPathError: No such agent, or an edge of the path was not accepted.
        """
        results = self.results()
        return queries.path_map(results, queries.find_path(results, source, target, via))

    def translate(self, latents: Array, source: str, target: str, via: Via = None) -> Array:
        """Return core latents of one agent in the core of another, [..., d_i] -> [..., d_j].

        Args:
            latents: A tensor or an array, for example of `encode`; the result is of the same type.
            source: Agent that they are of.
            target: Agent whose core they are translated into.
            via: Agents to go through, "best" or "universe"; by default the direct edge.

        Raises:
            AlignmentError: The latents have another dimension than the source's core, or are not finite.
            UnknownAgentError, NoPathError: No such agent, or an edge of the path was not accepted.
        """
        found = self.map(source, target, via)
        check_finite(to_tensor(latents, "latents"), "the latents", "check the encoder that they are of")
        return found(latents)

    def query(
        self, source: str = "agent-0", target: str = "agent-1", *, tick: int | None = None,
        vector: AnyArray | Sequence[float] | None = None, via: Via = None, top: int = 5,
    ) -> QueryAnswer:  # fmt: skip
        """Translate one latent and find its nearest ticks; ``social-jepa query`` gives the same answer.

        Args:
            source: Agent whose latent is translated.
            target: Agent whose held-out ticks are searched.
            tick: Tick whose view is encoded; tick 0 when neither tick nor vector is given.
            vector: A vector in the source's core instead, [core_dim].
            via: Agents to go through, "best" or "universe"; by default the direct edge.
            top: How many nearest ticks to return.

        Raises:
            QueryError: Tick or vector cannot be translated.
            UnknownAgentError, NoPathError: No such agent, or an edge of the path was not accepted.
        """
        return queries.query(self.results(), source, target, tick=tick, vector=vector, via=via, top=top)

    @overload
    def encode(self, name: str, frames: Array) -> Array: ...
    @overload
    def encode(self, name: str, *, ticks: Sequence[int]) -> np.ndarray: ...
    def encode(
        self, name: str, frames: AnyArray | None = None, *, ticks: Sequence[int] | None = None
    ) -> AnyArray:
        """Return core latents by an agent's published model, [K, core_dim]: what maps translate.

        Args:
            name: The agent.
            frames: uint8 [K, H, W, 3] of the run's frame size, for example of `render`; the result is of the
                same type.
            ticks: Ticks of the scene instead, which the agent's camera sees; the result is an array.

        Raises:
            FramesError, TickRangeError: The model cannot encode them.
            ModelUnavailableError: Its model is missing, damaged or not the graph's.
            RuntimeError: A view has to be rendered, and OpenGL is missing.
        """
        if (frames is None) == (ticks is None):
            raise AlignmentError("encode takes frames or ticks", "pass one of the two")
        if ticks is not None:
            return queries.encode_ticks(self.results(), name, ticks).numpy()
        assert frames is not None
        encoded: AnyArray = queries.encode_frames(self.results(), name, frames)  # type: ignore[type-var]
        return encoded

    def render(self, name: str, ticks: Sequence[int]) -> np.ndarray:
        """Return frames of an agent's camera at some ticks, uint8 [K, H, W, 3].

        Raises:
            UnknownAgentError: There is no such agent.
            RuntimeError: OpenGL is missing.
        """
        results = self.results()
        results.graph.check(name)
        size = self.config.scene.frame_size
        with Observer(results) as observer:
            frames = [observer.render(name, tick) for tick in ticks]
        return np.stack(frames) if frames else np.zeros((0, size, size, 3), dtype=np.uint8)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the held-out R2 of every ordered pair as a matrix; return the axes.

        Args:
            axes: Where to draw; default: a new figure.
        """
        return self.graph.plot(axes)


def open_demo(scene: SceneName = "toy", folder: AnyPath | None = None) -> Run:
    """Return a run of four trained agents that comes with the package, unpacked into a new folder.

    Args:
        scene: Renderer of the scene in which they were trained: "toy", or "miniworld", which needs OpenGL to
            render views.
        folder: Folder to create; default: a new one in ./runs.

    Raises:
        RunFolderError: The folder exists, or cannot be created or written.
    """
    return Run(unpack(archive_of(scene), folder))
