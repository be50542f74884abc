"""Augmentation: new observations lie where the class's codes do, and another run trains on them."""

import numpy as np
import pytest
import torch
from linear_gaussian import linear_gaussian
from torch.testing import assert_close

import aelab
from aelab.cli.augment import labelled, stored
from aelab.cli.augment import main as augment
from aelab.config.compose import compose
from aelab.core.errors import AelabError
from aelab.core.records import Batch
from aelab.jobs.augmentation import Interpolations, Moved, Perturbations, Posteriors, Restorations
from aelab.jobs.masks import Missing
from aelab.jobs.restoration import OnePass
from aelab.runs.data import data_of

COUNT = 4000


@pytest.fixture(scope="module")
def exact():
    """A linear model with an exact posterior, and three observations of one class."""
    model, evidence = linear_gaussian(exact=True)
    model.requires_grad_(False)
    torch.manual_seed(0)
    return model, Batch(evidence.sample((3,)))


def made(exact, way):
    torch.manual_seed(0)
    return way(*exact, COUNT, lambda p: p.mean)


def decoded(model, codes):
    return model.decode(codes[None]).mean[0]


def test_interpolations_of_a_linear_model_are_on_the_lines_between_what_comes_back(exact):
    model, known = exact
    ends = decoded(model, model.posterior_of(known.x).mean)
    found = made(exact, Interpolations())
    way = torch.stack([_beside(found, a, b) for a in ends for b in ends])
    assert float(way.amin(0).max()) < 1e-6
    assert_close(found.mean(0), ends.mean(0), atol=0.05, rtol=0)


def _beside(x, a, b):
    """How far x (N, D) is from the line between a and b (D,)."""
    share = ((x - a) @ (b - a) / (b - a).square().sum().clamp_min(1e-12)).clamp(0, 1)
    return (x - torch.lerp(a, b, share[:, None])).norm(dim=1)


def test_the_spread_of_posteriors_and_perturbations_is_that_of_their_codes(exact):
    model, known = exact
    q = model.posterior_of(known.x)
    within = decoded(model, q.mean).T.cov(correction=0)
    flat = decoded(model, torch.eye(model.latent, dtype=torch.double))
    flat = flat - decoded(model, torch.zeros(1, model.latent, dtype=torch.double))
    noise = q.mean.var(0, correction=0)
    for way, added in ((Posteriors(), q.variance[0]), (Perturbations(0.5), 0.25 * noise)):
        expected = within + flat.T @ added.diag() @ flat
        assert_close(made(exact, way).T.cov(), expected, rtol=0.1, atol=0.03)


def test_a_restoration_keeps_what_was_visible(exact):
    found = made(exact, Restorations(Missing(0.3), OnePass()))
    kept = (found[:, None] == exact[1].x).any(1).double().mean()
    assert_close(kept, torch.tensor(0.7, dtype=torch.double), atol=0.02, rtol=0)


@pytest.mark.parametrize(("degrees", "pixels"), [(30.0, 0.0), (0.0, 3.0)])
def test_images_are_turned_about_their_middle_and_shifted_by_whole_pixels_of_either_side(degrees, pixels):
    rows, columns = torch.meshgrid(torch.arange(31.0) - 15, torch.arange(61.0) - 30, indexing="ij")
    blob = (-((rows - 5) ** 2 + (columns - 2) ** 2) / 4).exp()[None, None]
    torch.manual_seed(0)
    found = Moved(degrees, pixels).made(None, Batch(blob), Batch(blob.expand(200, 1, 31, 61)), None)
    place = torch.stack([(found * along).sum((1, 2, 3)) for along in (rows, columns)], 1)
    place = place / found.sum((1, 2, 3))[:, None]
    if degrees:
        assert_close(place.norm(dim=1), torch.full((200,), 29**0.5), atol=0.05, rtol=0)
        angle = torch.atan2(place[:, 0], place[:, 1]) - torch.atan2(torch.tensor(5.0), torch.tensor(2.0))
        assert 25 < float(angle.abs().max().rad2deg()) < 30.5
    else:
        moved = (place - torch.tensor([5.0, 2.0])).abs().amax(0)
        assert bool(((moved > 2.7) & (moved < 3.05)).all())


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("condition=label", "data.validation=100")


def test_a_file_trains_another_run_and_holds_the_real_ones_first(run, train_once, tmp_path):
    to = tmp_path / "more.npz"
    augment(compose([f"run={run.path}", f"to={to}", "per_class=3", "augmentation=samples"], "augment"))
    with np.load(to) as file:
        count = len(file["x_train"]) - 30
        assert file["x_train"].dtype == np.uint8
        assert np.array_equal(file["y_train"][count:], np.repeat(np.arange(10), 3))
        assert np.array_equal(np.bincount(file["y_train"][:count]) > 0, np.ones(10, bool))
        assert len(file["x_val"]) == 100
    more = train_once("data=npz", f"data.root={to}")
    assert aelab.load(more.path).run.settings.data.classes == 10


def test_what_is_told_its_label_makes_each_class_by_it(run):
    model = aelab.load(run.path)
    x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 2
    new, labels = model.augment(x, y, per_class=600, seed=3)
    assert labels.tolist() == [0] * 600 + [1] * 600
    assert torch.equal(new, model.augment(x, y, per_class=600, seed=3)[0])
    swapped, _ = model.augment(x, 1 - y, per_class=600, seed=3)
    assert not torch.allclose(new[:600], swapped[600:])


def test_few_labels_are_all_that_is_read_and_pictures_lie_by_their_class(train_once, tmp_path):
    run = train_once("data.labelled=20")
    to = tmp_path / "more"
    augment(compose([f"run={run.path}", f"to={to}", "per_class=2"], "augment"))
    assert sorted(path.relative_to(to).as_posix() for path in to.rglob("*.png")) == [
        f"{label}/0000{place}.png" for label in range(10) for place in range(2)
    ]
    augment(compose([f"run={run.path}", f"to={to}.npz", "per_class=2"], "augment"))
    with np.load(f"{to}.npz") as file:
        assert np.bincount(file["y_train"]).tolist() == [4] * 10


@pytest.mark.parametrize("values", ["grey", "dynamic", "fixed"])
def test_python_makes_of_pixels_what_the_command_makes(train_once, tmp_path, values):
    run = train_once(f"values={values}", "data.labelled=20")
    options = [f"to={tmp_path / 'new.npz'}", "augmentation=moved", "per_class=2", "real=false"]
    augment(compose([f"run={run.path}", *options], "augment"))
    model = aelab.load(run.path)
    known = labelled(data_of(model.run).expected().observations("train"), model)
    new, _ = model.augment(known.x, known.y, Moved(), per_class=2, seed=0)
    with np.load(tmp_path / "new.npz") as file:
        assert np.array_equal(file["x_train"], stored(new, model).numpy())


@pytest.mark.parametrize(
    ("options", "override", "sentence"),
    [
        ([], "augmentation=samples", "told labels"),
        ([], "augmentation.scale=-1", "augmentation.scale=-1"),
        ([], "per_class=0", "at least 1"),
        (["variant=gumbel_vae"], "augmentation=interpolations", "no real vectors"),
    ],
)
def test_what_cannot_be_made_is_said_and_nothing_written(train_once, tmp_path, options, override, sentence):
    run = train_once(*options)
    chosen = ["augmentation=perturbations"] if "scale" in override else []
    with pytest.raises(AelabError, match=sentence):
        augment(compose([f"run={run.path}", f"to={tmp_path / 'more.npz'}", *chosen, override], "augment"))
    assert not list(tmp_path.iterdir())
