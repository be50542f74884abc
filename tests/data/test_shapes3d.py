import colorsys
from itertools import pairwise

import numpy as np
import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.data.sources import shapes3d
from aelab.data.sources.drawn import factors
from aelab.data.sources.shapes3d import COUNT, HEIGHT, RADIUS, SIZES, SUN, WALL, Shapes3D, draw, forms

FLOOR, WALLS, OBJECT = range(3)
CUBE, CYLINDER, SPHERE, CAPSULE = range(4)
SCALES, TURNS = np.linspace(0.75, 1.25, 8), np.radians(np.linspace(-30, 30, 15))
EVERY_FORM = 8 * 4 * 15


@pytest.fixture(scope="module")
def drawn():
    return forms()


@pytest.fixture(scope="module")
def seen(drawn):
    """Where floor, walls and object are seen, with at least a part of a pixel."""
    return drawn > 0


def place(floor=0, wall=0, thing=0, scale=0, shape=0, orientation=0):
    """Where the image of these factors stands in the published order."""
    return int(np.ravel_multi_index((floor, wall, thing, scale, shape, orientation), SIZES))


def picture(drawn, **chosen):
    return draw(drawn, torch.tensor([place(**chosen)]))[0]


def project(point, turn):
    """Row and column of a point of the room, by turning the room before a camera that stands still."""
    x, y, z = np.asarray(point) - shapes3d.TARGET
    x, z = np.cos(turn) * x - np.sin(turn) * z, np.sin(turn) * x + np.cos(turn) * z
    up, level = np.sin(shapes3d.RISE), np.cos(shapes3d.RISE)
    y, z = level * y - up * z, up * y + level * z
    enlarged = 32 * shapes3d.ZOOM / (shapes3d.DISTANCE - z)
    return 32 - enlarged * y, 32 + enlarged * x


def test_the_factors_run_in_the_published_order():
    assert COUNT == 10 * 10 * 10 * 8 * 4 * 15
    places = [0, 1, 15, 60, 480, 4800, 48_000, COUNT - 1]
    rows = [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [9, 9, 9, 7, 3, 14],
    ]
    assert factors(torch.tensor(places), SIZES).tolist() == rows
    assert [place(*row) for row in rows] == places


def test_images_are_equal_only_where_their_factors_are(drawn):
    """Every form in one colour, every colour of one form, and some of all."""
    forms_in_red, colours = torch.arange(EVERY_FORM), torch.arange(0, COUNT, EVERY_FORM)
    some = torch.from_numpy(np.random.default_rng(0).choice(COUNT, 1000, replace=False))
    for index in (forms_in_red, colours, some):
        images = draw(drawn, index)
        assert len(images.flatten(1).unique(dim=0)) == len(index)
        assert torch.equal(draw(drawn, index.flip(0)).flip(0), images)


@pytest.mark.parametrize("surface", [FLOOR, WALLS, OBJECT])
def test_a_hue_changes_the_pixels_of_its_surface_and_no_others(drawn, seen, surface):
    names = ("floor", "wall", "thing")
    for scale, shape, orientation in ((0, CUBE, 0), (7, CYLINDER, 5), (4, SPHERE, 14), (2, CAPSULE, 9)):
        form = {"scale": scale, "shape": shape, "orientation": orientation}
        shown = torch.from_numpy(seen[scale, shape, orientation, surface])
        hues = [picture(drawn, **form, **{"wall": 3, names[surface]: level}) for level in range(10)]
        for one, other in pairwise(hues):
            assert torch.equal((one != other).any(0), shown)


@pytest.mark.parametrize("surface", [FLOOR, WALLS, OBJECT])
def test_hues_are_tenths_of_the_colour_wheel(drawn, seen, surface):
    only = seen[7, SPHERE, 3, surface] & (seen[7, SPHERE, 3].sum(0) == 1)
    for level in range(10):
        hues = {("floor", "wall", "thing")[surface]: level}
        image = picture(drawn, **hues, scale=7, shape=SPHERE, orientation=3)
        pixels = image[:, torch.from_numpy(only)].T.tolist()
        assert len(pixels) > 100
        found = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in pixels])
        assert np.abs((found - level / 10 + 0.5) % 1 - 0.5).max() < 0.01


def test_floor_walls_and_object_are_seen_in_every_form_and_cover_it(drawn, seen):
    assert seen.any((-1, -2)).all()
    assert (seen[..., 0, :, :].sum((-1, -2)) > 600).all()
    assert (seen[..., 1, :, :].sum((-1, -2)) > 600).all()
    light = drawn.astype(int).sum(3)
    assert (light >= 127).all()  # ambient light of a half reaches every surface
    assert (light <= 256).all()


def test_objects_are_whole_and_grow_with_the_scale(drawn, seen):
    silhouettes = seen[..., OBJECT, :, :]
    edges = [silhouettes[..., 0, :], silhouettes[..., -1, :], silhouettes[..., :, 0], silhouettes[..., :, -1]]
    assert not any(edge.any() for edge in edges)
    area = silhouettes.sum((-1, -2))
    assert (np.diff(area, axis=0) > 0).all()
    assert area.min() > 80


def test_cubes_stand_where_their_projected_corners_are(seen):
    for i, scale in enumerate(SCALES):
        for j, turn in enumerate(TURNS):
            half, top = scale * RADIUS[CUBE], 2 * scale * HEIGHT[CUBE]
            corners = [(x, y, z) for x in (-half, half) for y in (0, top) for z in (-half, half)]
            rows, columns = np.array([project(corner, turn) for corner in corners]).T
            down, across = np.nonzero(seen[i, CUBE, j, OBJECT])
            found = [down.min(), down.max() + 1, across.min(), across.max() + 1]
            expected = [rows.min(), rows.max(), columns.min(), columns.max()]
            np.testing.assert_allclose(found, expected, atol=1)


def test_spheres_are_the_cones_that_touch_them(seen):
    down, across = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5, indexing="ij")
    rays = np.stack([across - 32, 32 - down, np.full((64, 64), -32 * shapes3d.ZOOM)])
    rays = rays / np.linalg.norm(rays, axis=0)
    for i, scale in enumerate(SCALES):
        radius = scale * RADIUS[SPHERE]
        row, column = project((0, radius, 0), 0)
        to_centre = np.array([column - 32, 32 - row, -32 * shapes3d.ZOOM])
        to_centre /= np.linalg.norm(to_centre)
        above, up = radius - shapes3d.TARGET[1], np.sin(shapes3d.RISE)
        away = np.sqrt(shapes3d.DISTANCE**2 - 2 * shapes3d.DISTANCE * above * up + above**2)
        cone = np.tensordot(to_centre, rays, 1) > np.sqrt(1 - (radius / away) ** 2)
        partly = seen[i, SPHERE, 7, OBJECT]
        wholly = partly & ~seen[i, SPHERE, 7, FLOOR] & ~seen[i, SPHERE, 7, WALLS]
        assert wholly.sum() > 100
        assert not (wholly & ~cone).any()
        assert not (cone & ~partly).any()


@pytest.mark.parametrize("shape", [CYLINDER, SPHERE, CAPSULE])
def test_the_camera_sees_one_outline_of_a_round_object_and_another_light(drawn, seen, shape):
    outline = seen[:, shape, :, OBJECT]
    assert (outline == outline[:, :1]).all()
    assert all(len(np.unique(turns, axis=0)) == 15 for turns in drawn[:, shape, :, OBJECT])


def test_the_camera_sees_every_turn_of_the_cube_in_outline(seen):
    assert len(np.unique(seen[7, CUBE, :, OBJECT], axis=0)) == 15


def test_turns_to_both_sides_are_mirror_images_but_for_the_light(drawn, seen):
    assert np.array_equal(seen, seen[:, :, ::-1, ..., ::-1])
    assert not np.array_equal(drawn, drawn[:, :, ::-1, ..., ::-1])


@pytest.mark.parametrize("side", [-1, 1])
def test_the_corner_of_the_room_is_where_it_is_projected_and_moves_one_way(drawn, seen, side):
    columns = []
    for j, turn in enumerate(TURNS):
        row, column = np.round(project((side * WALL, 0, -WALL), turn)).astype(int)
        columns.append(column)
        if not 3 <= column < 61:
            continue
        light, shown = drawn[0, SPHERE, j].astype(int), seen[0, SPHERE, j]
        assert shown[FLOOR, row + 2, column]
        assert not shown[WALLS, row + 2, column]
        assert not shown[FLOOR, row - 3, column]
        left, right = np.round(project((side * WALL, 1, -WALL), turn)[1] + np.array([-2, 1])).astype(int)
        walls = [light[WALLS, row - 5, left], light[WALLS, row - 5, right]]
        facing = SUN[2], max(0, -side * SUN[0])
        assert walls[::side] == [round(255 * (0.5 + 0.5 * cosine)) for cosine in facing]
    assert (np.diff(columns) > 0).all()
    assert sum(3 <= column < 61 for column in columns) >= 7


@pytest.mark.parametrize("shape", [CUBE, CYLINDER, SPHERE, CAPSULE])
def test_objects_throw_a_shadow_away_from_the_sun(drawn, shape):
    for i, scale in enumerate(SCALES):
        top = 1.9 * HEIGHT[shape] * scale  # on the axis, and inside every object
        shadow = -SUN * [1, 0, 1] * top / SUN[1]
        levels = []
        for point in (shadow, -shadow):
            row, column = np.floor(project(point, TURNS[0])).astype(int)
            levels.append(int(drawn[i, shape, 0, FLOOR, row, column - 1]))  # clear of the object's outline
        assert levels == [128, round(255 * (0.5 + 0.5 * SUN[1]))]


def test_the_faces_of_the_cube_are_as_bright_as_they_face_the_sun(drawn):
    half = SCALES[7] * RADIUS[CUBE]
    centres = {0: (half, half, 0), 1: (0, 2 * half, 0), 2: (0, half, half)}
    for axis, centre in centres.items():
        row, column = np.floor(project(centre, TURNS[14])).astype(int)
        assert drawn[7, CUBE, 14, OBJECT, row, column] == round(255 * (0.5 + 0.5 * SUN[axis]))


@pytest.mark.parametrize("shape", [CYLINDER, SPHERE, CAPSULE])
def test_round_objects_are_brightest_where_they_face_the_sun_and_shaded_smoothly(drawn, seen, shape):
    only = seen[7, shape, 7, OBJECT] & (seen[7, shape, 7].sum(0) == 1)
    light = np.where(only, drawn[7, shape, 7, OBJECT], 0).astype(int)
    assert len(np.unique(light)) > 15
    middle = light[34]  # a row of the side of every object, and sunlight from the right
    assert middle[32:].max() > middle[:32].max() > 128


def test_images_come_with_their_labels_and_attributes(drawn):
    splits = Shapes3D(count=1000, test=0.2).load()
    assert (len(splits.train), len(splits.test)) == (800, 200)
    assert set(splits.checksums) == {"forms", "hues", "train rows", "test rows"}
    assert splits.validation is None
    for images in (splits.train, splits.test):
        assert images.x.shape[1:] == (3, 64, 64)
        assert images.x.dtype == torch.uint8
        assert images.attributes.dtype == torch.float32
        found = (images.attributes * torch.tensor([size - 1.0 for size in SIZES])).round().long()
        assert found[:, 4].tolist() == images.y.tolist()
        index = torch.tensor([place(*row) for row in found.tolist()])
        assert torch.equal(images.x, draw(drawn, index))
        assert images.attributes.min() == 0
        assert images.attributes.max() == 1


def test_no_combination_of_factors_occurs_twice_in_the_splits():
    splits = Shapes3D(count=2000).load()
    rows = torch.cat([splits.train.attributes, splits.test.attributes])
    assert len(rows.unique(dim=0)) == 2000


def test_the_choice_depends_on_no_global_seed_and_a_smaller_one_is_part_of_a_larger():
    np.random.seed(1)
    torch.manual_seed(1)
    first, again = Shapes3D(count=100).load(), Shapes3D(count=100).load()
    assert torch.equal(first.train.x, again.train.x)
    assert first.checksums == again.checksums
    larger = Shapes3D(count=200, test=10).load()
    assert torch.equal(larger.test.attributes, first.test.attributes)


@pytest.mark.parametrize("count", [0, 1, -1, COUNT + 1])
def test_an_impossible_count_is_refused(count):
    with pytest.raises(ConfigurationError, match=r"data\.source\.count=.* 2 to 480,000"):
        Shapes3D(count=count).load()


def test_all_images_are_a_view_of_one_memory_map_for_each_choice_of_colours(tmp_path, monkeypatch):
    """With two values of most factors, for the whole takes 5.9 GB."""
    monkeypatch.setenv("AELAB_DATA", str(tmp_path))
    monkeypatch.setattr(shapes3d, "SIZES", (2, 2, 2, 2, 4, 2))
    monkeypatch.setattr(shapes3d, "COUNT", 128)
    monkeypatch.setattr(shapes3d, "CHUNK", 50)
    source = Shapes3D("tiny", count=None)
    source.prepare()
    (path,) = (tmp_path / "tiny").iterdir()
    splits, chosen = source.load(), Shapes3D("tiny", count=128).load()
    assert path.stat().st_size > 128 * 3 * 64 * 64
    assert splits.train.x.data_ptr() == splits.test.x.data_ptr()
    assert splits.train.x.shape == (128, 3, 64, 64)
    for view, copy in ((splits.train, chosen.train), (splits.test, chosen.test)):
        found = view.at(slice(None))
        assert torch.equal(found.x, copy.x)
        assert torch.equal(found.y, copy.y)
        assert torch.equal(found.attributes, copy.attributes)
    paler = shapes3d._hues() // 2
    monkeypatch.setattr(shapes3d, "_hues", lambda: paler)
    assert source.load().train.x.max() < splits.train.x.max()
    assert len(list((tmp_path / "tiny").iterdir())) == 2


def test_a_model_trains_on_them_with_their_factors_as_condition(train):
    run = train(
        "data=shapes3d",
        "data.source.count=200",
        "data.batch_size=32",
        "data.validation=20",
        "condition=attributes",
        "trainer.limit_train_batches=2",
    )
    record = run.read()
    assert record["status"] == "finished"
    assert record["metrics"]["test/mse"] > 0
    assert record["data"]["checksums"].keys() == {"forms", "hues", "train rows", "test rows"}
    assert (run.path / "pictures" / "reconstructions.png").is_file()
