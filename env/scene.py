"""The shared scene: its state at a tick as a pure function of settings, seed and body events."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from env.camera import Pose
from env.camera_motion import CameraMotionConfig, camera_offsets, moved_poses
from env.checks import check_class, check_integer, check_number, check_positive
from env.common.settings_repr import settings_repr
from env.drift import check_autocorrelation
from env.dynamics.contract import BLOCK, Motion, factor_block, factors_at
from env.dynamics.coupled import MAX_AUTOCORRELATION as MAX_COUPLED_AUTOCORRELATION
from env.dynamics.disc_gas import check_collisions
from env.dynamics.registry import DYNAMICS, build_dynamics
from env.fingerprint import STATE_TICKS, hash_scene, hash_source
from env.interior_walls import InteriorWallsConfig
from env.nuisance import NuisanceConfig, drifts
from env.object_areas import Area, check_areas
from env.pose_check import check_pose
from env.scene_state import Bodies, SceneState, SceneStates
from env.shapes import check_shapes, identities_at
from env.sources.contract import FrameSource, TickOutsideSourceError, UnknownStateError
from env.sources.registry import SOURCES, build_source
from env.sources.settings import FramesConfig

RENDERERS = ("miniworld", "toy", "batch")
MAX_OBJECTS = 12
MAX_MINIWORLD_ROOM = 70.0  # meters; its diagonal stays below 100 m, beyond which MiniWorld draws nothing
MAX_COUPLING = 0.95


@dataclass(frozen=True)
class SceneConfig:
    """Contents and appearance of the scene; the room is centered on (0, 0)."""

    # of frames: images, array, hdf5, zarr, lance, gymnasium, video or package.module:Class; empty: rendered
    source: str = ""
    frames: FramesConfig = field(default_factory=FramesConfig)
    renderer: str = "miniworld"  # miniworld (OpenGL), toy (numpy), batch (torch), or package.module:Class
    # ornstein_uhlenbeck, coupled, collide, bounce, static, or package.module:Class
    dynamics: str = "ornstein_uhlenbeck"
    objects: int = 3  # colored boxes, 1 to 12; they pass through each other unless dynamics is collide
    # Correlation from tick to tick: one number for all, or one per coordinate x0 z0 x1 z1 ...;
    # eigenvalues of the matrix where dynamics is coupled
    autocorrelation: tuple[float, ...] = (0.7,)
    coupling: float = 0.5  # coupled: how strongly directions drive each other, 0 to 0.95
    room_size: float = 8.0  # meters from wall to wall
    wall_height: float = 0.6  # meters; low enough to look over
    object_size: float = 0.9  # meters, the edge of a box
    object_range: float = 3.4  # meters, the largest distance of an object from the center along x or z
    tanh_gain: float = 0.45  # Ornstein-Uhlenbeck position = object_range * tanh(tanh_gain * factor)
    frame_size: int = 64  # pixels, square
    bodies: bool = True  # each peer's body stands where its camera stands
    # x, z, range_x, range_z of the area where each object moves: its center and the largest distance from it,
    # in meters; empty: all move in the whole room, as object_range says
    object_areas: tuple[Area, ...] = ()
    shapes: tuple[str, ...] = ("box",)  # of the objects; see env/shapes.py for those of each renderer
    identity_ticks: int = 0  # ticks after which every object draws a shape anew; 0: object k keeps shapes[k]
    interior_walls: InteriorWallsConfig = field(default_factory=InteriorWallsConfig)
    camera_motion: CameraMotionConfig = field(default_factory=CameraMotionConfig)
    nuisance: NuisanceConfig = field(default_factory=NuisanceConfig)

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        values = self.autocorrelation  # TOML has lists and numbers
        values = tuple(values) if isinstance(values, list | tuple) else (values,)
        object.__setattr__(self, "autocorrelation", values)
        self._check_source()
        check_class("renderer", self.renderer, RENDERERS)
        check_class("dynamics", self.dynamics, tuple(DYNAMICS))
        check_integer("objects", self.objects, 1, MAX_OBJECTS)
        check_integer("frame_size", self.frame_size, 16, 1024)
        if not isinstance(self.bodies, bool):
            raise ValueError(f"bodies must be true or false, got {self.bodies!r}")
        for name in ("room_size", "wall_height", "object_size", "object_range", "tanh_gain"):
            check_positive(name, getattr(self, name))
        self._check_room()
        names = self.shapes  # TOML has lists and single names
        object.__setattr__(self, "shapes", tuple(names) if isinstance(names, list | tuple) else (names,))
        check_shapes(self.renderer, self.shapes, self.identity_ticks)
        areas = tuple(tuple(area) for area in self.object_areas)
        object.__setattr__(self, "object_areas", areas)
        check_areas(self)
        if len(self.autocorrelation) not in (1, 2 * self.objects):
            raise ValueError(
                f"autocorrelation must hold one number, or one for each of the "
                f"{2 * self.objects} coordinates of {self.objects} objects, got {len(self.autocorrelation)}"
            )
        for value in self.autocorrelation:
            hint = "; for 1, set dynamics to static"
            check_autocorrelation("autocorrelation", value, hint)
        check_number("coupling", self.coupling, 0, MAX_COUPLING)
        if self.dynamics == "coupled":
            hint = "; above it a block of ticks takes seconds"
            check_number("autocorrelation", max(self.autocorrelation), 0, MAX_COUPLED_AUTOCORRELATION, hint)
        if self.dynamics == "collide":
            check_collisions(self.objects, self.object_size, self.object_range)

    def _check_room(self) -> None:
        if self.renderer == "miniworld" and self.room_size > MAX_MINIWORLD_ROOM:
            raise ValueError(
                f"room_size must be at most {MAX_MINIWORLD_ROOM:g} with the renderer miniworld, which draws "
                f"nothing at 100 m or more, got {self.room_size:g}: set renderer to batch or toy"
            )
        if self.object_range + self.object_size / 2 > self.room_size / 2:
            raise ValueError(
                "objects would pass through the wall: object_range + object_size / 2 must be at most "
                f"room_size / 2, got {self.object_range:g}, {self.object_size:g} and {self.room_size:g}"
            )

    def _check_source(self) -> None:
        if not self.source:
            if self.frames != FramesConfig():
                raise ValueError(
                    f"frames is set without source: set source to {', '.join(SOURCES)}, or to "
                    "package.module:Class"
                )
            return
        check_class("source", self.source, tuple(SOURCES))
        if self.camera_motion.moves:
            raise ValueError("camera_motion moves cameras, which a source of frames cannot: set it to 0")

    def build_source(self) -> FrameSource | None:
        """Return the source of frames, which this process shares; None where the scene is rendered.

        Raises:
            ValueError: See `env.sources.registry.build_source`.
        """
        return build_source(self.source, self.frames, self.frame_size) if self.source else None

    @property
    def source_memory(self) -> int:
        """Ticks after which frames of the source no longer resemble earlier ones; 0 without a source."""
        source = None if self.frames.memory else self.build_source()
        return self.frames.memory if source is None else source.decorrelation_ticks

    @property
    def areas(self) -> np.ndarray:
        """Area where each object moves, [objects, 4]: x and z of its center, then the range along x and z."""
        room = (0.0, 0.0, self.object_range, self.object_range)
        return np.array(self.object_areas or (room,) * self.objects, dtype=np.float64)

    def motion(self, seed: int) -> Motion:
        """Return the motion that dynamics of a scene with these settings are built from."""
        return Motion(
            seed, self.coordinate_autocorrelations, self.coupling, self.object_size, self.object_range,
            self.tanh_gain,
        )  # fmt: skip

    @property
    def decorrelation_ticks(self) -> int:
        """Memory of the scene: ticks after which frames are uncorrelated with the past, whatever the seed.

        It is that of the slowest of all processes that change them: objects, drifts and motion of cameras,
        and identities. 0 if nothing changes. For periodic motion it is the longest period.

        Raises:
            ValueError: The class of custom dynamics or of a source cannot be loaded, or states no number of
                ticks.
        """
        if self.source:
            return max(self.source_memory, self.nuisance.decorrelation_ticks)
        objects = build_dynamics(self.dynamics, self.motion(0)).decorrelation_ticks
        check_integer(f"decorrelation_ticks of {self.dynamics}", objects, 0)
        cameras = max(self.camera_motion.decorrelation_ticks, self.nuisance.decorrelation_ticks)
        return max(objects, cameras, self.identity_ticks)

    @property
    def coordinate_autocorrelations(self) -> tuple[float, ...]:
        """Autocorrelation of each of the 2 * objects coordinates."""
        repeats = 2 * self.objects if len(self.autocorrelation) == 1 else 1
        return tuple(float(value) for value in self.autocorrelation * repeats)


@dataclass(frozen=True)
class BodyEvent:
    """A peer's body is placed or moved at a tick; pose None removes it."""

    tick: int
    name: str
    pose: Pose | None


class Scene:
    """One shared scene: equal arguments give equal states in every process."""

    def __init__(self, config: SceneConfig, seed: int, events: Sequence[BodyEvent] = ()) -> None:
        """Describe a scene; states are computed on request.

        Args:
            config: Contents of the scene.
            seed: Any integer.
            events: Placements and removals of bodies, in any order.

        Raises:
            ValueError: The class of custom dynamics cannot be loaded.
        """
        check_integer("seed", seed)
        self.config = config
        self.seed = int(seed)
        self.source = config.build_source()
        self._dynamics = build_dynamics(config.dynamics, config.motion(self.seed))
        self._centers, self._ranges = config.areas[:, :2], config.areas[:, 2:]
        self._cameras_move = config.camera_motion.moves
        self._yaws = np.zeros(config.objects)
        self._yaws.flags.writeable = False
        self._identities = self.identities(np.zeros(1))[0]
        self._identities.flags.writeable = False
        shown = config.bodies and self.source is None
        self._body_ticks, self._bodies = _replay(events if shown else ())

    @property
    def ticks(self) -> int | None:
        """Number of ticks of the source of frames; None: a rendered scene never ends."""
        return None if self.source is None else self.source.ticks

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that moves or changes objects, 16 hex digits: equal when peers replay the same scene.

        What only decides how a camera sees them is left out: peers may differ in renderer, size of frames,
        bodies, interior walls, motion of cameras, nuisance, and in how they draw equally many identities.
        Of custom dynamics it contains some states, so that two versions of a class are not the same scene.
        """
        config = self.config
        if self.source is not None:
            return hash_source(config.source, self.source, config.source_memory)
        states = None
        if ":" in config.dynamics:
            factors = self.factors(np.array(STATE_TICKS))
            states = np.concatenate([factors, self.unit_positions(factors)], axis=1)
        settings = asdict(config) | {"autocorrelation": config.coordinate_autocorrelations}
        return hash_scene(settings, self.seed, states)

    def state(self, tick: int) -> SceneState:
        """Return the state at a tick, 0 or later; ticks may be requested in any order.

        With a source of frames it holds the tick alone.

        Raises:
            TickOutsideSourceError: A source of frames has no such tick.
        """
        check_integer("tick", tick, 0)
        if self.source is not None:
            (state,) = self.states(np.array([tick]))
            return state
        block, row = divmod(int(tick), BLOCK)
        return self.state_from_factors(tick, factor_block(self._dynamics, block)[row])

    def states(self, ticks: np.ndarray) -> SceneStates:
        """Return the states at many ticks in any order, int64 [T]: those that `state` returns, faster.

        Raises:
            TickOutsideSourceError: A source of frames lacks one of them.
        """
        ticks, objects = np.asarray(ticks, dtype=np.int64), self.config.objects
        if self.source is not None:
            if ticks.size:
                check_integer("tick", int(ticks.min()), 0)
                if (last := int(ticks.max())) >= self.source.ticks:
                    raise TickOutsideSourceError(last, self.source.ticks)
            return SceneStates.without_objects(ticks)
        factors = self.factors(ticks)
        positions = self._centers + self._ranges * self.unit_positions(factors).reshape(-1, objects, 2)
        yaws = np.broadcast_to(self._yaws, (len(ticks), objects))
        identities = self.identities(ticks)
        for array in (factors, positions, identities):
            array.flags.writeable = False
        return SceneStates(ticks, factors, positions, yaws, identities, self._bodies_at(ticks))

    def state_from_factors(self, tick: int, factors: np.ndarray) -> SceneState:
        """Return the state at a tick with other factors, [F], for environments that control objects."""
        positions = self._centers + self._ranges * self.unit_positions(factors).reshape(-1, 2)
        positions.flags.writeable = False
        (bodies,) = self._bodies_at(np.array([tick]))
        identities = self._identities
        if self.config.identity_ticks:
            identities = self.identities(np.array([tick]))[0]
            identities.flags.writeable = False
        return SceneState(int(tick), factors, positions, self._yaws, identities, bodies)

    def _bodies_at(self, ticks: np.ndarray) -> list[Bodies]:
        """Return the bodies at each of T ticks."""
        rows = np.searchsorted(self._body_ticks, ticks, side="right").tolist()
        bodies = [self._bodies[row] for row in rows]
        if not self._cameras_move:
            return bodies
        moved: list[Bodies] = [()] * len(ticks)
        for placed in set(bodies):
            at = [row for row, each in enumerate(bodies) if each == placed]
            poses = [self.camera_poses(pose, name, ticks[at]) for name, pose in placed]
            names = [name for name, _ in placed]
            for row, together in zip(at, zip(*poses, strict=True), strict=bool(placed)):
                moved[row] = tuple(zip(names, together, strict=True))
        return moved

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the true state at many ticks, [T] -> [T, F]; for evaluation only.

        Raises:
            UnknownStateError: The source of frames does not know it.
        """
        ticks = np.asarray(ticks, dtype=np.int64)
        if ticks.size:
            check_integer("tick", int(ticks.min()), 0)
        if self.source is None:
            return factors_at(self._dynamics, ticks)
        if (state := self.source.state(ticks)) is None:
            raise UnknownStateError(self.config.source)
        return state

    def private_factors(self, camera: str, ticks: np.ndarray) -> np.ndarray:
        """Return the factors of one camera's frames alone, [T] -> [T, P]; for evaluation only.

        The drifts of brightness and hue, then the offsets of pan, tilt, and steps forward and to the left:
        those of them that are on.
        """
        nuisance, motion = self.config.nuisance, self.config.camera_motion
        values = drifts(nuisance, self.seed, camera, ticks), camera_offsets(motion, self.seed, camera, ticks)
        strengths = np.array([nuisance.brightness, nuisance.hue, *motion.amplitudes])
        return np.concatenate(values, axis=1)[:, strengths > 0]

    def identities(self, ticks: np.ndarray) -> np.ndarray:
        """Return the index of each object's shape at many ticks, [T] -> int64 [T, objects]."""
        config = self.config
        return identities_at(self.seed, config.objects, len(config.shapes), config.identity_ticks, ticks)

    def actions(self, ticks: np.ndarray) -> np.ndarray:
        """Return the action on each coordinate from a tick to the next, [T] -> [T, F].

        Where factors x follow Ornstein-Uhlenbeck processes, ``x' = rho x + sqrt(1 - rho^2) a``, or coupled
        dynamics, ``x' = A x + B a``, it is a: white noise of unit variance. Elsewhere it is the difference
        ``x' - x``, unless custom dynamics define it.
        """
        now, later = self.factors(ticks), self.factors(np.asarray(ticks, dtype=np.int64) + 1)
        return self._dynamics.actions(now, later)

    def unit_positions(self, factors: np.ndarray) -> np.ndarray:
        """Return positions in [-1, 1] of the factors of any coordinates, [...] -> [...]."""
        return self._dynamics.positions(factors)

    def camera_pose(self, pose: Pose, camera: str | None, tick: int) -> Pose:
        """Return the pose of a camera at a tick: the given one, unless cameras move.

        Args:
            pose: The camera's pose, around which it moves.
            camera: Name of the peer whose camera it is; None for a camera without a peer.
            tick: Integer time.
        """
        return self.camera_poses(pose, camera, np.array([tick]))[0]

    def camera_poses(self, pose: Pose, camera: str | None, ticks: np.ndarray) -> list[Pose]:
        """Return the poses of a camera at T ticks; the other arguments are those of `camera_pose`."""
        if not self._cameras_move:
            return [pose] * len(ticks)
        return moved_poses(self.config.camera_motion, self.seed, camera or "", pose, ticks)

    def camera_actions(self, camera: str | None, ticks: np.ndarray) -> np.ndarray:
        """Return a camera's own motion from a tick to the next, [T] -> [T, 4].

        Pan, tilt, and steps forward and to the left as its pose faces, as shares of their amplitudes.
        """
        ticks, motion = np.asarray(ticks, dtype=np.int64), self.config.camera_motion
        now, later = (camera_offsets(motion, self.seed, camera or "", each) for each in (ticks, ticks + 1))
        return later - now

    def check_pose(self, pose: Pose) -> None:
        """Raise ValueError for a camera that objects or walls touch, or that sees no place of an object.

        With a source of frames, for one that is no view of it.
        """
        if self.source is None:
            check_pose(self.config, pose)
        elif pose.view is None or pose.view >= self.source.views:
            raise ValueError(
                f"a source of frames has views in the place of poses: choose view=0 to "
                f"view={self.source.views - 1}, got {pose}"
            )


def _replay(events: Sequence[BodyEvent]) -> tuple[list[int], list[Bodies]]:
    """Return the ticks at which the bodies change, and the bodies before, between and after them."""
    ticks: list[int] = []
    present: dict[str, Pose] = {}
    bodies: list[Bodies] = [()]
    for event in sorted(events, key=lambda event: event.tick):  # stable: events of one tick keep their order
        check_integer("tick of a body event", event.tick, 0)
        if event.pose is None:
            present.pop(event.name, None)
        else:
            present[event.name] = event.pose
        ticks.append(event.tick)
        bodies.append(tuple(sorted(present.items(), key=lambda item: item[0])))
    return ticks, bodies
