"""Shapes of the MiniWorld renderer as OpenGL display lists; imported by it once pyglet is headless."""

import math

from miniworld.objmesh import ObjMesh
from miniworld.opengl import Texture, drawBox
from pyglet import gl

TEXTURES = {
    "brick_box": "brick_wall", "grate_box": "airduct_grate", "tile_box": "floor_tiles_bw", "wood_box": "wood",
}  # fmt: skip
SLICES = 24  # around a ball or a cylinder
PLATE = 0.1  # height of the plate under a mesh, as a share of the object's size


class Shape:
    """A shape on the floor, compiled into a display list that draws it in the current color."""

    def __init__(self, name: str, size: float) -> None:
        """Compile a shape; an OpenGL context must be current.

        Args:
            name: One of MiniWorld's shapes in `env.shapes.SHAPES`.
            size: Edge of the box that it fits into, in meters.
        """
        # Read before the list is compiled: uploads would become a part of it.
        texture = Texture.get(TEXTURES[name]) if name in TEXTURES else None
        solid = name in ("box", "ball", "cylinder")
        mesh = None if solid or texture is not None else ObjMesh.get(name)
        self.list = gl.glGenLists(1)
        gl.glNewList(self.list, gl.GL_COMPILE)
        if texture is not None:
            _draw_textured_box(texture, size)
        elif mesh is not None:
            _draw_mesh(mesh, size)
        else:
            {"box": _draw_box, "ball": _draw_ball, "cylinder": _draw_cylinder}[name](size)
        gl.glEndList()

    def free(self) -> None:
        """Delete the display list; its context must be current."""
        gl.glDeleteLists(self.list, 1)


def _draw_box(size: float) -> None:
    drawBox(-size / 2, size / 2, 0.0, size, -size / 2, size / 2)


def _draw_ball(size: float) -> None:
    quadric = gl.gluNewQuadric()
    gl.glPushMatrix()
    gl.glTranslatef(0, size / 2, 0)
    gl.gluSphere(quadric, size / 2, SLICES, SLICES // 2)
    gl.glPopMatrix()
    gl.gluDeleteQuadric(quadric)


def _draw_cylinder(size: float) -> None:
    quadric = gl.gluNewQuadric()
    gl.glPushMatrix()
    gl.glRotatef(-90, 1, 0, 0)  # GLU's cylinders lie along z
    gl.gluCylinder(quadric, size / 2, size / 2, size, SLICES, 1)
    gl.glTranslatef(0, 0, size)
    gl.gluDisk(quadric, 0, size / 2, SLICES, 1)
    gl.glPopMatrix()
    gl.gluDeleteQuadric(quadric)


def _draw_textured_box(texture: Texture, size: float) -> None:
    """Draw the sides and the top of a box, with one copy of a texture on each."""
    gl.glEnable(gl.GL_TEXTURE_2D)
    texture.bind()
    half, across = size / 2, ((0, -1), (1, -1), (1, 1), (0, 1))  # (height, side) of each corner
    gl.glBegin(gl.GL_QUADS)
    for cos, sin in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        gl.glNormal3f(cos, 0, sin)
        for height, side in across:
            gl.glTexCoord2f((side + 1) / 2, height)
            gl.glVertex3f(half * (cos - sin * side), size * height, half * (sin + cos * side))
    gl.glNormal3f(0, 1, 0)
    for x, z in ((-1, -1), (-1, 1), (1, 1), (1, -1)):
        gl.glTexCoord2f((x + 1) / 2, (z + 1) / 2)
        gl.glVertex3f(half * x, size, half * z)
    gl.glEnd()
    gl.glDisable(gl.GL_TEXTURE_2D)


def _draw_mesh(mesh: ObjMesh, size: float) -> None:
    """Draw a mesh on a plate of the current color, both within a box of this size."""
    plate = PLATE * size
    drawBox(-size / 2, size / 2, 0.0, plate, -size / 2, size / 2)
    width, height, depth = (mesh.max_coords - mesh.min_coords).tolist()
    scale = min(size / math.hypot(width, depth), (size - plate) / height)
    x, _, z = ((mesh.max_coords + mesh.min_coords) / 2).tolist()
    gl.glEnable(gl.GL_NORMALIZE)  # scaling changes the length of normals
    gl.glDisable(gl.GL_CULL_FACE)  # some meshes are sheets whose backs are visible
    gl.glPushMatrix()
    gl.glTranslatef(0, plate, 0)
    gl.glScalef(scale, scale, scale)
    gl.glTranslatef(-x, -float(mesh.min_coords[1]), -z)
    mesh.render()
    gl.glPopMatrix()
    gl.glEnable(gl.GL_CULL_FACE)
    gl.glDisable(gl.GL_NORMALIZE)
