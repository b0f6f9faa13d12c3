"""MiniWorld used as documented, the reference for our renderer; it needs PYGLET_HEADLESS=True."""

import math

import numpy as np
from miniworld.entity import COLORS, Box
from miniworld.miniworld import MiniWorldEnv

from env.appearance import BODY_SIZE
from env.camera import Pose
from env.renderer import Renderer
from env.scene import SceneConfig
from env.scene_state import SceneState


class StockWorld(MiniWorldEnv):
    """One room with MiniWorld's own boxes; its default window."""

    def __init__(self, config: SceneConfig) -> None:
        """Build the room and render it once."""
        self.config = config
        super().__init__(obs_width=config.frame_size, obs_height=config.frame_size)
        self.reset(seed=0)

    def _gen_world(self) -> None:
        config, half = self.config, self.config.room_size / 2
        self.add_rect_room(-half, half, -half, half, wall_height=config.wall_height, no_ceiling=True)
        self.boxes = [
            self.place_entity(Box(color, size=config.object_size), pos=np.zeros(3), dir=0.0)
            for color in list(COLORS)[: config.objects]
        ]
        self.place_agent(pos=np.zeros(3), dir=0.0)


class StockRenderer(Renderer):
    """Stock MiniWorld with the interface of env.renderer.Renderer."""

    def __init__(self, config: SceneConfig) -> None:
        """Open a window."""
        self.world = StockWorld(config)
        self.bodies: dict[str, Box] = {}

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return the observation of a state from a pose, uint8 [H, W, 3]."""
        world, eye = self.world, self.world.agent
        for box, (x, z) in zip(world.boxes, state.positions, strict=True):
            box.pos = np.array([x, 0.0, z])
        world.entities = [*world.boxes, *(self._body(*each) for each in state.bodies if each[0] != viewer)]
        eye.pos, eye.dir = np.array([pose.x, 0.0, pose.z]), math.radians(pose.yaw)
        eye.cam_height, eye.cam_pitch, eye.cam_fov_y = pose.y, pose.pitch, pose.fov
        return world.render_obs()

    def close(self) -> None:
        """Close the window."""
        self.world.close()

    def _body(self, name: str, pose: Pose) -> Box:
        if name not in self.bodies:
            body = Box("grey", size=BODY_SIZE)
            body.randomize(self.world.params, self.world.np_random)
            body.pos, body.dir = np.array([pose.x, pose.y - BODY_SIZE / 2, pose.z]), math.radians(pose.yaw)
            self.bodies[name] = body
        return self.bodies[name]
