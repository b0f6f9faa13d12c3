"""The MiniWorld renderer; importing this module opens an OpenGL display.

Workarounds in this module:
- MiniWorld needs a display, unless pyglet's headless option is set before its first use.
- Its static geometry lives in display list 1, which all contexts of a process share: a second world would
  overwrite the first.
- A process forked after the import hangs: use spawn.
- A context that is current in one thread draws nothing in another, so it is released after every frame, at
  the cost of 5 % of the time.
- MiniWorld's own framebuffers use 16 bytes per sample and are never freed: ours use 4, which renders 50 %
  more frames per second.
- MiniWorld draws the room for every frame. While camera and bodies stay where they are, only objects are
  drawn, over a copy of the rest with its depths: the same bytes in 0.4 of the time.
"""

import contextlib
import io
import math
import os
import threading
import weakref
from ctypes import byref, c_void_p

# No rasterizer threads: small frames gain nothing from them, and with one (Mesa 22.3.6) software rendering
# crashed about once in 250,000 frames; without, not in a million.
os.environ.setdefault("LP_NUM_THREADS", "0")

import pyglet

pyglet.options["headless"] = True
pyglet.options["debug_gl"] = False  # on, it queries OpenGL for errors after every call

import numpy as np  # noqa: E402
from miniworld.entity import Entity  # noqa: E402
from miniworld.miniworld import MiniWorldEnv  # noqa: E402
from miniworld.opengl import Texture  # noqa: E402
from miniworld.params import DEFAULT_PARAMS  # noqa: E402
from pyglet import gl  # noqa: E402
from pyglet.libs.egl import egl  # noqa: E402

from env.appearance import BODY_COLOR, BODY_SIZE, OBJECT_COLORS  # noqa: E402
from env.camera import Pose  # noqa: E402
from env.interior_walls import InteriorWallsConfig  # noqa: E402
from env.renderer import Renderer  # noqa: E402
from env.renderers.miniworld_shapes import Shape  # noqa: E402
from env.scene import SceneConfig  # noqa: E402
from env.scene_state import SceneState  # noqa: E402

WALL_TEXTURE = "brick_wall"
WALL_TEXTURE_SIZE = 2.0  # meters of an interior wall that one copy of the texture covers

STATIC_LIST = 1  # MiniWorld's display list of what never moves

_Background = tuple[Pose, tuple[Pose, ...]]  # camera and visible bodies, which decide all but the objects
_current: "weakref.ref[MiniworldRenderer] | None" = None


class MiniworldRenderer(Renderer):
    """Renders the scene with MiniWorld; at most one exists per process."""

    def __init__(self, config: SceneConfig) -> None:
        """Open an OpenGL context and build the room.

        Raises:
            RuntimeError: This process has a MiniWorld renderer already.
        """
        global _current
        other = _current() if _current is not None else None
        if other is not None and other._world is not None:
            raise RuntimeError(
                "this process has a MiniWorld renderer already, and MiniWorld supports only one: "
                "close() it first, use share_renderer, or render in another process"
            )
        self._lock = threading.Lock()
        with contextlib.redirect_stdout(io.StringIO()):  # MiniWorld prints the driver's number of samples
            self._world: _World | None = _World(config)
        self._world.release_context()
        _current = weakref.ref(self)

    def render(self, state: SceneState, pose: Pose, viewer: str | None = None) -> np.ndarray:
        """Return a camera's frame, uint8 [H, W, 3]; the viewer's own body is left out."""
        with self._lock:
            if self._world is None:
                raise RuntimeError("this renderer is closed: build another")
            frame = self._world.draw(state, pose, viewer)
            self._world.release_context()
            return frame

    def close(self) -> None:
        """Close the OpenGL context; another renderer may be built afterwards."""
        with self._lock:
            if self._world is not None:
                self._world.close()
                self._world = None


class _World(MiniWorldEnv):
    """A room without a ceiling, with objects at the positions of a state."""

    def __init__(self, config: SceneConfig) -> None:
        self._config = config
        self._objects: list[_Object] = []  # MiniWorld draws a first frame while it is built
        self._bodies: list[_Object] = []  # as many as were ever visible at once
        self._visible: list[_Object] = []  # bodies
        self._drawn: _Background | None = None  # of the last frame
        self._kept: _Background | None = None  # in the framebuffer
        self._keeps: _Background | None = None  # that of the frame being drawn, if it is to be kept
        params = DEFAULT_PARAMS.copy()
        params.set("sky_color", [0.75, 0.75, 0.75])
        params.set("light_pos", [0.0, 6.0, 0.0])
        size = config.frame_size
        # MiniWorld's own two framebuffers are unused and never freed: keep them minimal.
        super().__init__(obs_width=1, obs_height=1, window_width=1, window_height=1, params=params)
        self._framebuffer = Framebuffer(size)
        self._body_shape = Shape("box", BODY_SIZE)
        self._shapes = [Shape(name, config.object_size) for name in config.shapes]
        self._objects = [_Object(self._shapes[0], color) for color in OBJECT_COLORS[: config.objects]]

    def _gen_world(self) -> None:
        half = self._config.room_size / 2
        self.add_rect_room(
            -half,
            half,
            -half,
            half,
            wall_height=self._config.wall_height,
            no_ceiling=True,
            floor_tex="concrete",
        )
        self.entities.append(_InteriorWalls(self._config.interior_walls))
        self.place_entity(self.agent, pos=np.zeros(3), dir=0.0)

    def draw(self, state: SceneState, pose: Pose, viewer: str | None) -> np.ndarray:
        """Return a camera's frame of a state, uint8 [H, W, 3]."""
        bodies = tuple(body for name, body in state.bodies if name != viewer)
        self._place_objects(state)
        drawn, self._drawn = self._drawn, None  # unknown if drawing fails
        frame = self._draw((pose, bodies), drawn)
        self._drawn = (pose, bodies)
        return frame

    def _draw(self, background: "_Background", drawn: "_Background | None") -> np.ndarray:
        """Return a frame with a background, given that of the last frame."""
        if background == drawn == self._kept:  # the camera is still set, too
            self.shadow_window.switch_to()
            self._framebuffer.bind()
            self._framebuffer.restore_background()
            return self._draw_objects(self._framebuffer)
        self._keeps = background if background == drawn else None
        pose, bodies = background
        self._place_bodies(bodies)
        self._place_camera(pose)
        return self.render_obs(self._framebuffer)

    def _render_world(self, frame_buffer: "Framebuffer", render_agent: bool) -> np.ndarray:
        """Draw all that stays, then the objects; MiniWorld calls this once it has set the camera."""
        gl.glCallList(STATIC_LIST)
        for body in self._visible:
            body.render()
        if self._keeps is not None:  # a second frame with this background: a third is likely
            frame_buffer.keep_background()
            self._kept = self._keeps
        return self._draw_objects(frame_buffer)

    def _draw_objects(self, frame_buffer: "Framebuffer") -> np.ndarray:
        for item in self._objects:
            item.render()
        return frame_buffer.resolve()

    def _place_objects(self, state: SceneState) -> None:
        placed = zip(self._objects, state.positions, state.yaws, state.identities, strict=True)
        for item, (x, z), yaw, identity in placed:
            item.move_to(x, 0.0, z, yaw)
            item.shape = self._shapes[identity]

    def _place_bodies(self, poses: tuple[Pose, ...]) -> None:
        while len(self._bodies) < len(poses):
            self._bodies.append(_Object(self._body_shape, BODY_COLOR))
        self._visible = self._bodies[: len(poses)]
        for body, pose in zip(self._visible, poses, strict=True):
            body.move_to(pose.x, pose.y - BODY_SIZE / 2, pose.z, pose.yaw)

    def _place_camera(self, pose: Pose) -> None:
        eye = self.agent
        eye.pos = np.array([pose.x, 0.0, pose.z])
        eye.dir = math.radians(pose.yaw)
        eye.cam_height, eye.cam_pitch, eye.cam_fov_y = pose.y, pose.pitch, pose.fov

    def release_context(self) -> None:
        """Release the OpenGL context, which can be current in only one thread."""
        egl.eglMakeCurrent(self.shadow_window.context.display_connection, None, None, None)

    def close(self) -> None:
        """Free the OpenGL context and its resources."""
        super().close()
        self.shadow_window.switch_to()
        self._framebuffer.free()
        for shape in (self._body_shape, *self._shapes):
            shape.free()
        self.shadow_window.close()


class _InteriorWalls(Entity):
    """Interior walls, which MiniWorld compiles into its display list of all that never moves."""

    def __init__(self, walls: InteriorWallsConfig) -> None:
        super().__init__()
        self._walls = walls
        # Loaded before a display list is compiled, which would swallow the texture's upload.
        self._texture = Texture.get(WALL_TEXTURE) if walls.segments else None

    @property
    def is_static(self) -> bool:
        """Whether MiniWorld draws it only once: yes."""
        return True

    def render(self) -> None:
        """Draw both sides of each wall, since MiniWorld leaves out what faces away; MiniWorld calls this."""
        if self._texture is not None:
            gl.glDisable(gl.GL_LIGHTING)  # the only light is above the center, where a wall is edge-on to it
            gl.glColor3f(1, 1, 1)
            gl.glEnable(gl.GL_TEXTURE_2D)
            self._texture.bind()
            for x1, z1, x2, z2 in self._walls.segments:
                self._draw_side(x1, z1, x2, z2)
                self._draw_side(x2, z2, x1, z1)
            gl.glEnable(gl.GL_LIGHTING)

    def _draw_side(self, x1: float, z1: float, x2: float, z2: float) -> None:
        length, height = math.hypot(x2 - x1, z2 - z1), self._walls.height
        gl.glBegin(gl.GL_QUADS)
        for x, y, z, place in (
            (x1, 0, z1, 0),
            (x2, 0, z2, length),
            (x2, height, z2, length),
            (x1, height, z1, 0),
        ):
            gl.glTexCoord2f(place / WALL_TEXTURE_SIZE, y / WALL_TEXTURE_SIZE)
            gl.glVertex3f(x, y, z)
        gl.glEnd()


class _Object(Entity):
    """A colored object in the scene, or a peer's body."""

    def __init__(self, shape: Shape, color: tuple[float, float, float]) -> None:
        super().__init__()
        self.shape, self._color = shape, color

    def move_to(self, x: float, y: float, z: float, yaw: float) -> None:
        """Move it; y is the height of its underside, yaw is in degrees."""
        self.pos, self.dir = (x, y, z), yaw

    def render(self) -> None:
        """Draw it; MiniWorld calls this."""
        gl.glDisable(gl.GL_TEXTURE_2D)
        gl.glColor3f(*self._color)
        gl.glPushMatrix()
        gl.glTranslatef(*self.pos)
        gl.glRotatef(self.dir, 0, 1, 0)
        gl.glCallList(self.shape.list)
        gl.glPopMatrix()


class Framebuffer:
    """A square multisampled framebuffer with the interface that MiniWorld expects."""

    def __init__(self, size: int) -> None:
        self.width = self.height = size
        max_samples = gl.GLint()
        gl.glGetIntegerv(gl.GL_MAX_SAMPLES, byref(max_samples))
        samples = min(4, max_samples.value)
        self._area = (0, 0, size, size)
        self._frames = (gl.GLuint * 3)()  # multisampled, background, resolved
        self._buffers = (gl.GLuint * 5)()
        gl.glGenFramebuffers(len(self._frames), self._frames)
        gl.glGenRenderbuffers(len(self._buffers), self._buffers)
        for number, frame in enumerate(self._frames[:2]):
            self._attach(2 * number, gl.GL_COLOR_ATTACHMENT0, frame, gl.GL_RGBA8, samples)
            self._attach(2 * number + 1, gl.GL_DEPTH_ATTACHMENT, frame, gl.GL_DEPTH_COMPONENT24, samples)
            self._check()
        self._attach(4, gl.GL_COLOR_ATTACHMENT0, self._frames[2], gl.GL_RGBA8, 0)
        self._check()

    def _attach(self, index: int, attachment: int, frame: int, pixel_format: int, samples: int) -> None:
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, frame)
        gl.glBindRenderbuffer(gl.GL_RENDERBUFFER, self._buffers[index])
        gl.glRenderbufferStorageMultisample(
            gl.GL_RENDERBUFFER, samples, pixel_format, self.width, self.height
        )
        gl.glFramebufferRenderbuffer(gl.GL_FRAMEBUFFER, attachment, gl.GL_RENDERBUFFER, self._buffers[index])

    def _check(self) -> None:
        if gl.glCheckFramebufferStatus(gl.GL_FRAMEBUFFER) != gl.GL_FRAMEBUFFER_COMPLETE:
            raise RuntimeError(
                "the OpenGL driver has no framebuffer that MiniWorld can use: set renderer to toy"
            )

    def bind(self) -> None:
        """Make this the target of drawing; MiniWorld calls this."""
        gl.glEnable(gl.GL_MULTISAMPLE)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._frames[0])
        gl.glViewport(0, 0, self.width, self.height)

    def keep_background(self) -> None:
        """Copy what is drawn so far, with its depths."""
        self._copy(self._frames[0], self._frames[1], gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)

    def restore_background(self) -> None:
        """Replace what is drawn by what was kept; this remains the target of drawing."""
        self._copy(self._frames[1], self._frames[0], gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)

    def resolve(self) -> np.ndarray:
        """Return the drawn frame, uint8 [H, W, 3]; MiniWorld calls this."""
        self._copy(self._frames[0], self._frames[2], gl.GL_COLOR_BUFFER_BIT)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._frames[2])
        pixels = np.empty((self.height, self.width, 4), dtype=np.uint8)
        gl.glReadPixels(*self._area, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE, c_void_p(pixels.ctypes.data))
        return np.ascontiguousarray(pixels[::-1, :, :3])  # OpenGL's first row is the lowest

    def free(self) -> None:
        """Free the framebuffers; their context must be current."""
        gl.glDeleteFramebuffers(len(self._frames), self._frames)
        gl.glDeleteRenderbuffers(len(self._buffers), self._buffers)

    def _copy(self, source: int, target: int, parts: int) -> None:
        """Copy buffers of one framebuffer to another; drawing goes on in the first one."""
        gl.glBindFramebuffer(gl.GL_READ_FRAMEBUFFER, source)
        gl.glBindFramebuffer(gl.GL_DRAW_FRAMEBUFFER, target)
        gl.glBlitFramebuffer(*self._area, *self._area, parts, gl.GL_NEAREST)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self._frames[0])
