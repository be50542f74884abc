"""What every kind of observation says of itself, and what single ones do."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.records import Batch, Trace
from aelab.data.kinds import Pixels, Reals
from aelab.data.values import Grey, Standardised, valued
from aelab.models.distributions import Gaussian, PointMass

SHAPES = {Pixels: (1, 5, 4), Reals: (6,)}
UNITS = {Pixels: "squared error per image", Reals: "squared error per vector"}
every = pytest.mark.parametrize("kind", [Pixels(), Reals()], ids=lambda kind: type(kind).__name__)


def trace(x, mean):
    codes, shown = x.flatten(1), Gaussian(mean, torch.zeros(()), x.dim() - 1)
    return Trace(Batch(x), x, None, PointMass(codes), None, codes[None], lambda: shown)


def rows(kind, count=5):
    return kind.example(count, SHAPES[type(kind)], torch.Generator().manual_seed(0))


@every
def test_errors_are_measured_for_each_observation_and_named_for_the_kind(kind):
    x = rows(kind)
    mean = torch.stack([x + 0.5, x - 0.1])  # of two codes, whose mean is 0.2 off
    found = kind.errors(trace(x, mean))
    assert set(found) == {quantity.name for quantity in kind.quantities}
    assert all(values.shape == (5,) and values.dtype == torch.float64 for values in found.values())
    assert_close(found["mse"], torch.full((5,), 0.04).double(), rtol=1e-5, atol=0)
    assert_close(found["squared_error"], 0.04 * x[0].numel() * torch.ones(5).double(), rtol=1e-5, atol=0)
    units = {quantity.name: quantity.per(kind.noun).unit for quantity in kind.quantities}
    assert units["squared_error"] == UNITS[type(kind)]


@every
def test_codes_that_know_nothing_of_observations_have_no_errors(kind):
    x = rows(kind)
    assert kind.errors(replace(trace(x, x[None]), posterior=None)) == {}


def test_each_vector_has_the_root_of_its_own_error():
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    found = Reals().errors(trace(x, x[None] + torch.tensor([[3.0, 4.0], [0.0, 0.0]])))
    assert found["rmse"].tolist() == pytest.approx([12.5**0.5, 0])


@every
def test_what_is_written_can_be_read_again(kind, tmp_path):
    x, names = rows(kind), ["b", "../a", "c", "=1", "c"]
    kind.write(tmp_path, iter(x.split(2)), names, reserved=["c.png"])
    files = sorted(tmp_path.iterdir())
    assert all(file.suffix in kind.suffixes and file.name != "c.png" for file in files)
    place = str(tmp_path if len(files) > 1 else files[0])
    found, blocks = kind.read(place, SHAPES[type(kind)])
    stored = torch.cat(list(blocks))
    assert len(found) == len(stored) == 5
    assert stored.dtype == kind.stored
    back = valued(stored, Grey()) if kind.stored == torch.uint8 else stored
    order = [back.flatten(1).sub(one.flatten()).abs().amax(1).argmin().item() for one in x]
    assert sorted(order) == list(range(5))
    assert_close(back[order], x, atol=0.5 / 255 + 1e-6, rtol=0)


@every
def test_a_picture_shows_every_row_and_folds_it(kind):
    x = rows(kind, 6)
    wide, folded = kind.picture([x, x], ["in", "out"]), kind.picture([x, x], ["in", "out"], columns=3)
    assert folded.height > 1.9 * wide.height * 0.98
    assert folded.width < wide.width
    changed = x.clone()
    changed[4] = 0
    assert np.asarray(kind.picture([changed, x], ["in", "out"])).tolist() != np.asarray(wide).tolist()


@every
def test_shapes_that_no_observation_has_are_refused(kind):
    kind.check(SHAPES[type(kind)], (0, 1))
    other = next(shape for which, shape in SHAPES.items() if not isinstance(kind, which))
    for shape in (other, (), (0,), (1, 0, 4)):
        with pytest.raises(ConfigurationError, match=r"data\.shape"):
            kind.check(shape, (0, 1))


def test_bounds_are_of_values_that_the_kind_can_have():
    Reals().check((3,), None)
    Reals(["a", "b", "c"]).check((3,), [-2, 5])
    for kind, bounds in ((Reals(), [1, 0]), (Reals(), [0]), (Reals(), [0, float("inf")]), (Pixels(), None)):
        with pytest.raises(ConfigurationError, match=r"data\.bounds"):
            kind.check(SHAPES[type(kind)], bounds)
    with pytest.raises(ConfigurationError, match=r"names 2 numbers, and data\.shape is \[3\]"):
        Reals(["a", "b"]).check((3,), None)


@pytest.mark.parametrize(
    "given", [[1, 2, 3], [[1.0, 2, 3]], np.array([1, 2, 3]), torch.tensor([[1.0, 2, 3]]).double()]
)
def test_vectors_are_taken_in_any_form(given):
    assert Reals().parse(given, (3,)).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([[1, 2]], r"\[1, 2\], and the model takes \[N, 3\]"),
        (np.zeros((0, 3)), r"\[0, 3\]"),
        ([[1, 2, float("nan")]], "NaN"),
        ([["a", "b", "c"]], "are not"),
        (SimpleNamespace(), "are not"),
    ],
)
def test_what_is_no_vector_is_refused(given, why):
    with pytest.raises(DataError, match=why):
        Reals().parse(given, (3,))


def test_a_file_of_vectors_is_refused_by_its_name(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.zeros((2, 4)))
    with pytest.raises(DataError, match=r"mine\.npz: the vectors are \[2, 4\]"):
        Reals().read(str(path), (3,))
    np.savez(path, z=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"mine\.npz cannot be read .* an array x of shape \(N, 3\)"):
        Reals().read(str(path), (3,))
    (tmp_path / "rows.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(DataError, match=r"rows\.csv cannot be read \(it is no \.npz file\)"):
        Reals().read(str(tmp_path / "rows.csv"), (3,))
    with pytest.raises(DataError, match=r"none\.npz cannot be read"):
        Reals().read(str(tmp_path / "none.npz"), (3,))


def test_values_are_for_the_kind_that_stores_them_so():
    assert Pixels.stored == Grey.stored
    assert Reals.stored == Standardised.stored
