"""One object in an empty room of light, drawn with the meshes that MiniWorld brings.

A second file that knows MiniWorld, because the scene's renderer fills one. It has an OpenGL context of its
own and keeps meshes as vertex buffers, never in MiniWorld's display list 1, so that it can live beside a
``MiniworldRenderer`` without repainting its room.
"""

import threading
from collections.abc import Sequence

import numpy as np

from env.appearance import AMBIENT, DIFFUSE, OBJECT_DISTANCE, OBJECT_FOV, Look
from env.objects.rotation import to_matrix
from env.renderers.miniworld import (
    Framebuffer,  # before the import s below: it lets OpenGL do without a display
)

# isort: split
import pyglet
from miniworld.objmesh import ObjMesh
from pyglet import gl
from pyglet.libs.egl import egl


class MeshDrawer:
    """Draws one mesh at a time, from straight ahead."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        """Open an OpenGL context; meshes are read when they are first drawn.

        Args:
            names: Files of miniworld/meshes without their ending, by class.
            size: Pixels, square.
        """
        self._names = tuple(names)
        self._lock = threading.Lock()
        self._meshes: dict[int, tuple[ObjMesh, np.ndarray, float]] = {}
        self._window: pyglet.window.BaseWindow | None = pyglet.window.Window(width=1, height=1, visible=False)
        self._screen = Framebuffer(size)
        self._let_go()

    def draw(self, looks: Sequence[Look]) -> np.ndarray:
        """Return a picture of each, uint8 [N, H, W, 3]."""
        with self._lock:
            if self._window is None:
                raise RuntimeError("this drawer is closed: build another")
            self._window.switch_to()
            self._prepare()
            frames = np.empty((len(looks), self._screen.height, self._screen.width, 3), dtype=np.uint8)
            for row, look in enumerate(looks):
                self._screen.bind()
                self._show(look)
                frames[row] = self._screen.resolve()
            self._let_go()
            return frames

    def close(self) -> None:
        """Close the OpenGL context; a second call does nothing."""
        with self._lock:
            if self._window is not None:
                self._window.switch_to()
                self._screen.free()
                self._window.close()
                self._window = None

    def _prepare(self) -> None:
        """Set what is the same in all pictures: the camera, and how surfaces answer light."""
        for feature in (
            gl.GL_DEPTH_TEST,
            gl.GL_LIGHTING,
            gl.GL_LIGHT0,
            gl.GL_COLOR_MATERIAL,
            gl.GL_NORMALIZE,
        ):
            gl.glEnable(feature)
        gl.glColorMaterial(gl.GL_FRONT_AND_BACK, gl.GL_AMBIENT_AND_DIFFUSE)
        gl.glLightModelfv(gl.GL_LIGHT_MODEL_AMBIENT, _floats(AMBIENT, AMBIENT, AMBIENT, 1))
        gl.glLightModeli(gl.GL_LIGHT_MODEL_TWO_SIDE, 1)  # some meshes are sheets that show their backs
        gl.glLightfv(gl.GL_LIGHT0, gl.GL_DIFFUSE, _floats(DIFFUSE, DIFFUSE, DIFFUSE, 1))
        gl.glMatrixMode(gl.GL_PROJECTION)
        gl.glLoadIdentity()
        gl.gluPerspective(OBJECT_FOV, 1.0, 0.5, 2 * OBJECT_DISTANCE)
        gl.glMatrixMode(gl.GL_MODELVIEW)

    def _show(self, look: Look) -> None:
        """Draw one object into the screen."""
        mesh, centre, radius = self._mesh(look.kind)
        gl.glClearColor(*look.background, 1.0)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)
        turn = np.eye(4)
        turn[:3, :3] = to_matrix(look.rotation).T  # OpenGL reads matrices by columns
        gl.glLoadIdentity()
        gl.glLightfv(gl.GL_LIGHT0, gl.GL_POSITION, _floats(*look.light, 0))
        gl.glTranslatef(0, 0, -OBJECT_DISTANCE)
        gl.glMultMatrixf(_floats(*turn.ravel()))
        gl.glScalef(*(look.size / radius))
        gl.glTranslatef(*-centre)
        gl.glColor3f(1, 1, 1)
        mesh.render()

    def _mesh(self, kind: int) -> tuple[ObjMesh, np.ndarray, float]:
        """Return a mesh, its centre and its radius."""
        if kind not in self._meshes:
            mesh = ObjMesh.get(self._names[kind])
            points = np.concatenate([np.array(part.vertices).reshape(-1, 3) for part in mesh.vlists])
            centre = (points.min(0) + points.max(0)) / 2
            self._meshes[kind] = (mesh, centre, float(np.linalg.norm(points - centre, axis=1).max()))
        return self._meshes[kind]

    def _let_go(self) -> None:
        """Leave the OpenGL context to whichever thread draws next."""
        if self._window is not None:
            egl.eglMakeCurrent(self._window.context.display_connection, None, None, None)


def _floats(*values: float) -> object:
    return (gl.GLfloat * len(values))(*values)
