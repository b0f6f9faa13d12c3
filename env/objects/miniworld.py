"""Renderer of single objects with the meshes of MiniWorld.

It has a separate OpenGL context and keeps meshes as vertex buffers, never in MiniWorld's display list 1, so
that it can coexist with a ``MiniworldRenderer`` without overwriting its room.
"""

import threading
from collections.abc import Sequence

import numpy as np

from env.appearance import AMBIENT, DIFFUSE, OBJECT_DISTANCE, OBJECT_FOV, ObjectView
from env.objects.rotation import from_quaternions
from env.renderers.miniworld import (
    Framebuffer,  # before the imports below: it makes pyglet headless
)

# isort: split
import pyglet
from miniworld.objmesh import ObjMesh
from pyglet import gl
from pyglet.libs.egl import egl


class MiniworldObjectRenderer:
    """Renders one mesh at a time, from straight ahead."""

    def __init__(self, names: Sequence[str], size: int) -> None:
        """Open an OpenGL context; meshes are read when they are first drawn.

        Args:
            names: Files of miniworld/meshes without their suffix, by class index.
            size: Pixels, square.
        """
        self._names = tuple(names)
        self._lock = threading.Lock()
        self._meshes: dict[int, tuple[ObjMesh, np.ndarray, float]] = {}
        self._window: pyglet.window.BaseWindow | None = pyglet.window.Window(width=1, height=1, visible=False)
        self._framebuffer = Framebuffer(size)
        self._release_context()

    def render(self, views: Sequence[ObjectView]) -> np.ndarray:
        """Return a picture of each view, uint8 [N, H, W, 3]."""
        with self._lock:
            if self._window is None:
                raise RuntimeError("this renderer is closed: build another")
            self._window.switch_to()
            self._prepare()
            frames = np.empty(
                (len(views), self._framebuffer.height, self._framebuffer.width, 3), dtype=np.uint8
            )
            for row, view in enumerate(views):
                self._framebuffer.bind()
                self._draw(view)
                frames[row] = self._framebuffer.resolve()
            self._release_context()
            return frames

    def close(self) -> None:
        """Close the OpenGL context; a second call does nothing."""
        with self._lock:
            if self._window is not None:
                self._window.switch_to()
                self._framebuffer.free()
                self._window.close()
                self._window = None

    def _prepare(self) -> None:
        """Set the OpenGL state that all pictures share: the camera, and the reflection of surfaces."""
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
        gl.glLightModeli(gl.GL_LIGHT_MODEL_TWO_SIDE, 1)  # some meshes are sheets whose backs are visible
        gl.glLightfv(gl.GL_LIGHT0, gl.GL_DIFFUSE, _floats(DIFFUSE, DIFFUSE, DIFFUSE, 1))
        gl.glMatrixMode(gl.GL_PROJECTION)
        gl.glLoadIdentity()
        gl.gluPerspective(OBJECT_FOV, 1.0, 0.5, 2 * OBJECT_DISTANCE)
        gl.glMatrixMode(gl.GL_MODELVIEW)

    def _draw(self, view: ObjectView) -> None:
        """Draw one object into the framebuffer."""
        mesh, center, radius = self._mesh(view.class_index)
        gl.glClearColor(*view.background, 1.0)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT | gl.GL_DEPTH_BUFFER_BIT)
        rotation = np.eye(4)
        rotation[:3, :3] = from_quaternions(view.rotation).as_matrix().T  # OpenGL is column-major
        gl.glLoadIdentity()
        gl.glLightfv(gl.GL_LIGHT0, gl.GL_POSITION, _floats(*view.light, 0))
        gl.glTranslatef(0, 0, -OBJECT_DISTANCE)
        gl.glMultMatrixf(_floats(*rotation.ravel()))
        gl.glScalef(*(view.size / radius))
        gl.glTranslatef(*-center)
        gl.glColor3f(1, 1, 1)
        mesh.render()

    def _mesh(self, class_index: int) -> tuple[ObjMesh, np.ndarray, float]:
        """Return a mesh, its center and its radius; it is loaded on first use."""
        if class_index not in self._meshes:
            mesh = ObjMesh.get(self._names[class_index])
            points = np.concatenate([np.array(part.vertices).reshape(-1, 3) for part in mesh.vlists])
            center = (points.min(0) + points.max(0)) / 2
            radius = float(np.linalg.norm(points - center, axis=1).max())
            self._meshes[class_index] = (mesh, center, radius)
        return self._meshes[class_index]

    def _release_context(self) -> None:
        """Release the OpenGL context, which can be current in only one thread."""
        if self._window is not None:
            egl.eglMakeCurrent(self._window.context.display_connection, None, None, None)


def _floats(*values: float) -> object:
    return (gl.GLfloat * len(values))(*values)
