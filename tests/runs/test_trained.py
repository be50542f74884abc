"""A trained model at work: the numbers of its evaluation, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from small import only, rewrite

import aelab
from aelab.config.construct import construct_recorded
from aelab.core.errors import (
    AelabError,
    ConfigurationError,
    DataError,
    InapplicableError,
    RunError,
)
from aelab.core.seeds import step_seed
from aelab.data.values import Threshold
from aelab.figures.images import as_images
from aelab.jobs.anomaly import NegativeElbo, NegativeLogLikelihood, Reference
from aelab.runs.build import build


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture(scope="module")
def vae(run):
    return aelab.load(run.path)


@pytest.fixture(scope="module")
def labelled(train_once):
    return aelab.load(train_once("variant=cvae").path)


def images(count=3, seed=0):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_a_run_is_found_by_any_form_of_its_path(run, vae, monkeypatch):
    monkeypatch.setenv("HOME", str(run.path.parent))
    monkeypatch.chdir(run.path.parent)
    for form in (run.path.name, f"{run.path}/", f"~/{run.path.name}", Path("~") / run.path.name):
        assert aelab.load(form).run.folder.path == run.path


def test_neither_lightning_nor_hydra_is_imported(run):
    code = (
        "import sys, torch, aelab\n"
        f"model = aelab.load({str(run.path)!r})\n"
        "x = torch.rand(2, 1, 8, 8)\n"
        "model.decode(model.encode(x)), model.reconstruct(x), model.sample(2), model.log_prob(x, samples=3)\n"
        "model.interpolate(x, x)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert not loaded & {"pytorch_lightning", "lightning_fabric", "hydra", "wandb", "matplotlib"}


def test_a_part_that_refuses_its_arguments_says_where():
    with pytest.raises(AelabError, match=r"scale.*\(in model.likelihood\)"):
        construct_recorded(
            {"likelihood": {"_target_": "aelab.models.likelihoods.Gaussian", "scale": 0}}, "model"
        )


@pytest.mark.parametrize("node", [{"_target_": "os.system"}, {"_target_": "torch.nn.ReLU", "_args_": [1]}])
def test_nothing_else_is_made(node):
    with pytest.raises(RunError, match=r"is no part that conf/ lists|to no part"):
        construct_recorded({"part": [node]}, "model")


@pytest.mark.parametrize("choice", ["grey", "dynamic"])
def test_the_numbers_are_those_of_an_evaluation(train, evaluate, choice):
    run = train(f"values={choice}")
    found = evaluate(run, *only("reconstruction", "likelihood"))["estimates"]
    model = aelab.load(run.path)
    settings = model.run.settings
    data = build(settings).data
    (batch,) = data.batches("test", 500)
    outputs = model.reconstruct(batch.x, drawn=True, seed=step_seed(settings.seed, "test"))
    squared = (outputs - batch.x).double().square().flatten(1).sum(1)
    assert found["reconstruction/squared_error"]["value"] == pytest.approx(squared.mean().item(), rel=1e-6)
    log_p = model.log_prob(batch.x[:50], samples=20, seed=step_seed(settings.seed, "importance"))
    assert found["likelihood/nll"]["value"] == pytest.approx(-log_p.mean().item(), rel=1e-6)


def test_a_seed_repeats_a_draw_and_leaves_the_generators_alone(vae):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = vae.sample(4, seed=5)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(vae.sample(4, seed=5), first)
    assert not torch.equal(vae.sample(4, seed=6), first)
    assert not torch.equal(vae.sample(4), vae.sample(4))


def test_labels_decide_what_a_conditional_model_draws(labelled):
    one = labelled.sample(2, y=1, seed=0)
    assert torch.equal(labelled.sample(2, y=torch.tensor([1, 1]), seed=0), one)
    assert not torch.equal(labelled.sample(2, y=[1, 2], seed=0)[1], one[1])


def test_a_model_that_sees_a_quadrant_shows_it(train):
    model = aelab.load(train("condition=image").path)
    x = images()
    seen = (model.model.conditioner.hidden == 0).expand_as(x)
    for shown in (model.sample(3, given=x), model.reconstruct(x), model.decode(model.encode(x), given=x)):
        assert torch.equal(shown[seen], x[seen])
    with pytest.raises(InapplicableError, match="give given"):
        model.sample(3)
    with pytest.raises(DataError, match="given holds 2 images: one for all 3"):
        model.sample(3, given=images(2))


def test_codes_of_another_precision_are_decoded(vae):
    codes = vae.encode(images())
    assert torch.equal(vae.decode(codes.double()), vae.decode(codes))


def test_a_run_is_known_by_its_fingerprint(run, vae):
    assert vae.run.fingerprint == run.read()["fingerprint"]


def test_each_of_a_pair_and_of_a_block_has_its_own_label(labelled):
    a, b, y = images(3), images(3, seed=1), [1, 2, 3]
    path = labelled.interpolate(a, b, steps=3, y=y)
    torch.testing.assert_close(path[:, 0], labelled.reconstruct(a, y=y), atol=1e-5, rtol=0)
    x, labels = images(503), torch.arange(503) % 10
    whole = labelled.reconstruct(x, y=labels)
    torch.testing.assert_close(whole[498:], labelled.reconstruct(x[498:], y=labels[498:]), atol=1e-5, rtol=0)


def test_a_path_begins_and_ends_with_the_reconstructions(vae):
    a, b = images(2), images(2, seed=1)
    for spherical in (False, True):
        path = vae.interpolate(a, b, steps=5, spherical=spherical)
        assert path.shape == (2, 5, 1, 8, 8)
        torch.testing.assert_close(path[:, 0], vae.reconstruct(a), atol=1e-5, rtol=0)
        torch.testing.assert_close(path[:, -1], vae.reconstruct(b), atol=1e-5, rtol=0)
    middle = vae.decode((vae.encode(a) + vae.encode(b)) / 2)
    torch.testing.assert_close(vae.interpolate(a, b, steps=3)[:, 1], middle, atol=1e-5, rtol=0)


def test_many_images_pass_in_blocks(vae):
    x = images(1203)
    torch.testing.assert_close(vae.encode(x)[1100:], vae.encode(x[1100:]))
    assert vae.sample(1203, seed=0).shape == (1203, 1, 8, 8)


def test_pictures_are_read_as_pixels(vae):
    levels = (images() * 255).round().to(torch.uint8)
    pictures = as_images(levels / 255)
    torch.testing.assert_close(vae.seen(pictures), levels / 255)
    assert torch.equal(vae.encode(pictures), vae.encode(levels))
    assert torch.equal(vae.encode(pictures[0].convert("RGBA")), vae.encode(levels[:1]))


def test_pixels_are_binarised_as_in_training_and_floats_are_not(train):
    model = aelab.load(train("values=threshold").path)
    x = images()
    levels = (x * 255).to(torch.uint8)
    assert isinstance(model.values, Threshold)
    assert torch.equal(model.seen(levels), (levels > 127).float())
    assert torch.equal(model.seen(x), x)
    assert "binarised" in repr(model)
    with pytest.raises(DataError, match="zeros and ones"):
        model.log_prob(x)
    assert model.log_prob(levels, samples=2).isfinite().all()


@pytest.mark.parametrize("choice", ["dynamic", "fixed"])
def test_the_binarisation_of_an_image_is_the_same_beside_all_others(train, choice):
    model = aelab.load(train(f"values={choice}").path)
    random = torch.Generator().manual_seed(0)
    levels = torch.randint(256, (700, 1, 8, 8), dtype=torch.uint8, generator=random)
    drawn = model.seen(levels)
    assert set(drawn.unique().tolist()) == {0, 1}
    assert drawn.mean().item() == pytest.approx((levels / 255).mean().item(), abs=0.01)
    noise = drawn - levels / 255
    assert noise.mean(0).abs().max() < 5 * 0.41 / 700**0.5  # an image's draw is no other image's
    for part in (slice(3, 5), slice(500, 700), [2, 699]):
        assert torch.equal(model.seen(levels[part]), drawn[part])


def test_pictures_of_another_size_are_fitted_when_asked(vae):
    picture = Image.fromarray(np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((4, 4), np.uint8)))
    with pytest.raises(DataError, match=r"32x32.*8x8.*resize=True"):
        vae.encode(picture)
    assert vae.reconstruct(picture, resize=True).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda m: m.encode(torch.rand(2, 1, 9, 8)), "2x1x9x8.*1x8x8"),
        (lambda m: m.encode(torch.rand(0, 1, 8, 8)), "one or more"),
        (lambda m: m.encode(torch.rand(2, 1, 9, 9), resize=True), "2x1x9x9.*resize=True is for PIL images"),
        (lambda m: m.encode(torch.full((1, 1, 8, 8), 3.0)), r"\[0, 1\]"),
        (lambda m: m.encode(torch.full((1, 1, 8, 8), torch.nan)), r"\[0, 1\]"),
        (lambda m: m.encode(torch.ones(1, 1, 8, 8, dtype=torch.long)), "int64"),
        (lambda m: m.encode([]), "PIL"),
        (lambda m: m.encode([1]), "PIL"),
        (lambda m: m.encode(Image.new("F", (8, 8))), r"0\.0 to 0\.0.*data\.kind\.range=\[0\.0,1\.0\]"),
        (lambda m: m.encode(images(), y=1), "without labels"),
        (lambda m: m.encode(images(), attributes=[1.0]), "without attributes"),
        (lambda m: m.decode(torch.zeros(2, 3)), "codes are"),
        (lambda m: m.decode(torch.zeros(0, 16)), "codes are"),
        (lambda m: m.decode(torch.zeros(2, 16), given=images(2)), "leave out given"),
        (lambda m: m.sample(0), "at least one"),
        (lambda m: m.log_prob(images(), samples=0), "at least one"),
        (lambda m: m.interpolate(images(2), images(3)), "pairs"),
        (lambda m: m.interpolate(images(2), images(2), steps=1), "2 steps"),
        (lambda m: m.reconstruct(images(), seed=0), "drawn"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(vae, use, sentence):
    with pytest.raises(AelabError, match=sentence) as refusal:
        use(vae)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("y", [None, 10, -1, [1, 2], 1.0, [[1, 2, 3]]])
def test_labels_that_do_not_exist_are_refused(labelled, y):
    with pytest.raises(AelabError, match=r"label|whole number"):
        labelled.encode(images(), y=y)


def test_codes_without_a_line_between_them(train):
    sphere = aelab.load(train("variant=hyperspherical_vae").path)
    with pytest.raises(InapplicableError, match="spherical=True"):
        sphere.interpolate(images(), images(3, 1))
    a, b = sphere.encode(images()), sphere.encode(images(3, 1))
    half = ((1 + torch.cosine_similarity(a, b)) / 2).sqrt()[:, None]  # the cosine of half the angle
    path = sphere.interpolate(images(), images(3, 1), steps=3, spherical=True)
    torch.testing.assert_close(path[:, 1], sphere.decode((a + b) / (2 * half)), atol=1e-5, rtol=0)


def test_a_forged_run_is_refused(train, tmp_path):
    run = train()
    config = OmegaConf.load(run.config)
    config.model.likelihood = {"_target_": "pathlib.Path.touch", "self": str(tmp_path / "canary")}
    rewrite(run, config)
    with pytest.raises(RunError, match="nothing of it was built"):
        aelab.load(run.path)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("key", ["model.shape", "data.values"])
def test_a_run_that_does_not_say_what_it_takes(train, key):
    run = train()
    config = OmegaConf.load(run.config)
    OmegaConf.update(config, key, None)
    with pytest.raises(AelabError, match=r"config.yaml|model.shape=null: a list of whole numbers is needed"):
        aelab.load(rewrite(run, config).path)


@pytest.mark.parametrize("path", ["/nowhere", ".", "a\nb"])
def test_a_folder_that_is_no_run(path):
    with pytest.raises(RunError, match="no run folder"):
        aelab.load(path)


def test_a_device_is_at_hand_or_refused(run):
    chosen = aelab.load(run.path, None).device.type
    assert chosen == (
        torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    )
    for device in ("foo", "meta", "cpu:7", "cuda:99", ""):
        with pytest.raises(ConfigurationError, match=f"^device={device} is not at hand: choose cpu"):
            aelab.load(run.path, device)


def test_a_name_is_data(train):
    run = train()
    config = OmegaConf.load(run.config)
    config.name = "<b>'\"../\n"
    assert repr(aelab.load(rewrite(run, config).path)).count("\n") == 0


def test_what_critics_alone_trained_is_asked_for_no_probability(train):
    model = aelab.load(train("variant=ali").path)
    x = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    reference = Reference(model.model)
    for asked in (
        lambda: model.log_prob(x, samples=2),
        lambda: model.compress(x),
        lambda: NegativeElbo().fit(reference),
        lambda: NegativeLogLikelihood().fit(reference),
    ):
        with pytest.raises(InapplicableError, match=r"^critics alone trained this model"):
            asked()
    torch.testing.assert_close(model.anomaly(x), model.error_map(x).double().flatten(1).sum(1))
