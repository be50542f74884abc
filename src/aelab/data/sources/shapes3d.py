"""An object in a room with six known factors, after 3D Shapes (Burgess & Kim 2018), drawn by ourselves.

The factors, their values and their order are the published ones; the pixels are not, for the room, the form
of each object, the colours and the light are ours. Numbers on these images compare only with numbers on these
images.
"""

import colorsys
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aelab.data.sources.drawn import Drawn, Ingredients, factors

# Hues of floor, wall and object, scale, shape (cube, cylinder, sphere, capsule), orientation.
SIZES = (10, 10, 10, 8, 4, 15)  # the last runs fastest
COUNT = 480_000
SIDE, FINER = 64, 2  # pixels a side, and rays a side of each pixel
CHUNK = 480  # images composed at once, in float32: all of one colouring

# Metres and radians in the room: x to the right, y up, z towards the viewer; the object stands on the origin.
WALL = 3.6  # how far behind and beside the object the walls stand
DISTANCE, RISE = 6.5, np.radians(22)  # of the camera, from what it looks at
TARGET = np.array([0.0, 0.95, 0.0])
ZOOM = 2.4  # focal length in halves of the picture's side
SUN = np.array([0.5, 1.0, 0.7]) / np.linalg.norm([0.5, 1.0, 0.7])  # towards it
AMBIENT = 0.5  # of the light that falls on a surface that faces the sun
HEIGHT, RADIUS = np.array([0.75, 0.85, 0.9, 1.1]), np.array([0.75, 0.7, 0.9, 0.6])  # halves, at scale 1

Interval = tuple[np.ndarray, np.ndarray]  # where rays enter a body and leave it, in lengths of the ray


class Shapes3D(Drawn):
    """All combinations of the six factors, or some of them: 480,000 images, as a memory map of 5.9 GB.

    The camera orbits the object from -30 to 30 degrees, as published, while room, object and light stay. The
    cylinder, the sphere and the capsule stand upright: an orbit turns their shade and not their outline.

    y: the shape. attributes: hue of floor, wall and object, scale, shape, orientation.
    """

    label = 4

    def __init__(self, name: str = "shapes3d", count: int | None = 20_000, test: int | float = 0.1) -> None:
        super().__init__(name, count, test)

    @property
    def sizes(self) -> Sequence[int]:
        return SIZES

    @property
    def shape(self) -> Sequence[int]:
        return (3, SIDE, SIDE)

    def ingredients(self) -> Ingredients:
        return {"forms": forms(), "hues": _hues().numpy()}

    def draw(self, ingredients: Ingredients, index: Tensor) -> Tensor:
        return draw(ingredients["forms"], index)

    def blocks(self, ingredients: Ingredients) -> Iterable[np.ndarray]:
        from tqdm import tqdm

        parts = torch.arange(math.prod(SIZES)).split(CHUNK)
        for part in tqdm(parts, f"drawing {self.name}", unit=" blocks", disable=None):
            yield draw(ingredients["forms"], part).numpy()


def forms() -> np.ndarray:
    """The light from floor, wall and object in every scale, shape and turn: (8, 4, 15, 3, 64, 64), uint8.

    A layer is 0 where its surface is not seen, and 255 where it alone is seen and faces the sun.
    """
    views = [_view(turn) for turn in np.radians(np.linspace(-30, 30, SIZES[5]))]
    scales, shapes = np.linspace(0.75, 1.25, SIZES[3]), range(SIZES[4])
    return np.stack(
        [[[_layers(view, shape, scale) for view in views] for shape in shapes] for scale in scales]
    )


def draw(drawn: np.ndarray, index: Tensor) -> Tensor:
    """The images at `index` (N,), of 480,000 in the published order: (N, 3, 64, 64), uint8."""
    light, hues = torch.from_numpy(drawn).view(-1, 3, SIDE * SIDE), _hues()
    images = torch.empty(len(index), 3, SIDE, SIDE, dtype=torch.uint8)
    for part, into in zip(index.split(CHUNK), images.split(CHUNK), strict=True):
        found = factors(part, SIZES)
        form = (found[:, 3] * SIZES[4] + found[:, 4]) * SIZES[5] + found[:, 5]
        # Products of whole numbers up to 255: exact in any order of summation, whatever the matmul precision.
        sums = hues[found[:, :3]].transpose(1, 2) @ light[form].float()
        into.copy_(sums.div_(255).round_().view_as(into))
    return images


def _hues() -> Tensor:
    """Tenths of the colour wheel as red, green and blue: (10, 3), whole numbers up to 255, float32."""
    wheel = [colorsys.hsv_to_rgb(step / 10, 0.85, 0.95) for step in range(10)]
    return (torch.tensor(wheel) * 255).round()


@dataclass(frozen=True)
class _View:
    """The empty room along N rays from one place of the camera; vectors are (3, N), the eye (3, 1)."""

    eye: np.ndarray
    rays: np.ndarray
    distance: np.ndarray  # in lengths of the ray
    material: np.ndarray  # 0 floor, 1 wall
    facing: np.ndarray  # cosine between the surface and the sun, not below 0

    @property
    def points(self) -> np.ndarray:
        return self.eye + self.distance * self.rays


def _view(turn: float) -> _View:
    back = np.array([np.sin(turn) * np.cos(RISE), np.sin(RISE), np.cos(turn) * np.cos(RISE)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    fine = SIDE * FINER
    place = (2 * np.arange(fine) + 1) / fine - 1
    down, across = (grid.ravel() for grid in np.meshgrid(place, place, indexing="ij"))
    rays = np.outer(right, across) - np.outer(np.cross(back, right), down) - ZOOM * back[:, None]
    eye = (TARGET + DISTANCE * back)[:, None]
    with np.errstate(divide="ignore"):
        side = (np.copysign(WALL, rays[0]) - eye[0]) / rays[0]
        planes = np.stack([-eye[1] / rays[1], side, (-WALL - eye[2]) / rays[2]])
    planes[planes <= 0] = np.inf
    first = planes.argmin(0)
    facing = np.stack([np.full_like(side, SUN[1]), -np.sign(rays[0]) * SUN[0], np.full_like(side, SUN[2])])
    lit = np.take_along_axis(facing, first[None], 0)[0].clip(0)
    return _View(eye, rays, planes.min(0), (first > 0).astype(np.int64), lit)


def _layers(view: _View, shape: int, scale: float) -> np.ndarray:
    """The light from floor, wall and object, each where it is seen: (3, 64, 64), uint8."""
    near = _entry(shape, view.eye / scale, view.rays / scale)
    seen = near < view.distance
    shadow = np.isfinite(_entry(shape, view.points / scale, SUN[:, None]))
    facing = np.where(shadow, 0, view.facing)
    facing[seen] = (SUN @ _normal(shape, (view.eye + near[seen] * view.rays[:, seen]) / scale)).clip(0)
    light = AMBIENT + (1 - AMBIENT) * facing
    layers = light * (np.where(seen, 2, view.material) == np.arange(3)[:, None])
    pixels = layers.reshape(3, SIDE, FINER, SIDE, FINER).mean((2, 4))
    return (pixels * 255).round().astype(np.uint8)


def _entry(shape: int, start: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """Where rays from outside enter an object of scale 1, in lengths of the ray: (N,), or infinity."""
    x, y, z = start - np.array([[0.0], [HEIGHT[shape]], [0.0]])
    a, b, c = ray
    r, h = RADIUS[shape], HEIGHT[shape]
    if shape == 0:
        return _meet(_slab(x, a, r), _slab(y, b, h), _slab(z, c, r))
    if shape == 1:
        return _meet(_ball((x, z), (a, c), r), _slab(y, b, h))
    if shape == 2:
        return _meet(_ball((x, y, z), (a, b, c), r))
    tube = _meet(_ball((x, z), (a, c), r), _slab(y, b, h - r))
    ends = [_meet(_ball((x, y - end, z), (a, b, c), r)) for end in (r - h, h - r)]
    return np.minimum(tube, np.minimum(*ends))


def _normal(shape: int, point: np.ndarray) -> np.ndarray:
    """The unit vectors (3, N) out of an object of scale 1 at points (3, N) on its surface."""
    x, y, z = point - np.array([[0.0], [HEIGHT[shape]], [0.0]])
    r, h = RADIUS[shape], HEIGHT[shape]
    zero = np.zeros_like(x)
    if shape == 0:
        relative = np.stack([x / r, y / h, z / r])
        return np.sign(relative) * (np.abs(relative) == np.abs(relative).max(0))
    if shape == 1:
        cap = np.abs(y) / h > np.hypot(x, z) / r
        return np.where(cap, np.stack([zero, np.sign(y), zero]), np.stack([x, zero, z]) / r)
    return np.stack([x, y - y.clip(r - h, h - r), z]) / r


def _meet(*inside: Interval) -> np.ndarray:
    """Where rays enter the intersection of convex bodies; infinite where never, or behind the start."""
    enter = np.maximum.reduce([first for first, _ in inside])
    leave = np.minimum.reduce([last for _, last in inside])
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _slab(start: np.ndarray, ray: np.ndarray, half: float) -> Interval:
    with np.errstate(divide="ignore"):
        one, other = (-half - start) / ray, (half - start) / ray
    return np.minimum(one, other), np.maximum(one, other)


def _ball(start: tuple[np.ndarray, ...], ray: tuple[np.ndarray, ...], radius: float) -> Interval:
    """A ball in three coordinates, an endless cylinder in two."""
    square = sum(d * d for d in ray)
    middle = -sum(s * d for s, d in zip(start, ray, strict=True)) / square
    nearest = sum((s + middle * d) ** 2 for s, d in zip(start, ray, strict=True))
    with np.errstate(invalid="ignore"):
        half = np.sqrt(
            (radius**2 - nearest) / square
        )  # NaN where the ray misses, so that `_meet` finds no entry
    return middle - half, middle + half
