"""Every choice under conf/ is composed, built and trained for a few batches, so that none can rot."""

import json
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from pairwise import Row, pairwise
from PIL import Image
from sklearn.datasets import load_digits
from small import GANS, SMALL, few_quick, of_numbers, small

from aelab.config.compose import compose
from aelab.config.construct import locate
from aelab.config.folders import choices, file_of
from aelab.config.recorded import recorded_settings
from aelab.core.errors import AelabError, ConfigurationError
from aelab.models.distributions import has_density
from aelab.models.likelihoods.location_scale import LocationScale
from aelab.runs.build import build
from aelab.runs.folder import Status
from aelab.training.checkpoints import load

BATCHES = [o for o in SMALL if not o.startswith("model.")]
# Likelihoods around a mean, whose scale sigma_vae learns.
AROUND_A_MEAN = {
    choice
    for choice in of_numbers("likelihood")
    if issubclass(locate(OmegaConf.load(file_of(f"likelihood/{choice}"))._target_, choice), LocationScale)
}
# Networks whose code is rectified, which the samples of a posterior are not in general.
RECTIFIED = {"mlp_32", "mlp_64_32"}
PLAIN = {"ae", "vae", "cvae"}
# A likelihood with a network of its own, which reads the pixels before.
THIN = ["model.likelihood.width=8", "model.likelihood.network.layers=1"]
# Conditions that a variant makes no sense with.
UNTOLD = {"cvae": {"none"}, "projection_cgan": {"none"}, "acgan": {"none", "image"}}

USES = {
    "condition": ["none", "label", "image"],
    "trainer.precision": ["32-true", "bf16-mixed"],
    "images": ["grey", "colour"],
}
PARTS = {"network": of_numbers("network"), "likelihood": of_numbers("likelihood"), **USES}
# Values of real vectors, which images refuse.
OF_VECTORS = ("plain", "standardised")
DETAILS = {
    "optimizer": choices("optimizer"),
    "lr_schedule": choices("lr_schedule"),
    "corruption": choices("corruption"),
    "values": [choice for choice in of_numbers("values") if choice not in OF_VECTORS],
    "objective/penalty": ["[]", *(c for c in choices("objective/penalty") if c != "features")],  # of a run
    "callback": ["[]", *choices("callback")],
}

ANY = {"standard_normal", "gaussian_mixture", "vamp", "exemplar", "realnvp", "spline_flow", "conditional"}
# Which priors a posterior must be able to meet.
FITTING = {
    "diagonal_gaussian": ANY,
    "full_gaussian": ANY,
    "low_rank_gaussian": ANY,
    "iaf": ANY - {"vamp"},
    "von_mises_fisher": {"uniform_sphere", "vamp"},
    "wrapped_normal": {"wrapped_normal", "vamp"},
    "gumbel": {"uniform_categorical"},
    "joint": {"joint"},
    "bottom_up": {"top_down", "standard_normal"},
}


def finished(run):
    assert run.status is Status.FINISHED
    metrics = run.read()["metrics"]
    leading = next(name for name in ("test/mse", "test/distortion", "test/diversity") if name in metrics)
    assert metrics[leading] != 0
    assert json.loads(run.metrics.read_text().splitlines()[0])["step"] == 3
    return metrics


def test_every_variant_has_its_row_in_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "variants.md").read_text()
    assert [v for v in choices("variant") if f"`{v}`" not in page] == []


@pytest.fixture(scope="session")
def colours(tmp_path_factory):
    """The digits in colour: each in a tint of its own."""
    values, labels = load_digits(return_X_y=True)
    tints = np.random.default_rng(0).uniform(0.3, 1, (len(values), 3, 1))
    x = np.rint(values[:, None] / 16 * tints * 255).astype(np.uint8).reshape(-1, 3, 8, 8)
    path = tmp_path_factory.mktemp("data") / "colours.npz"
    np.savez(path, x_train=x[:400], x_test=x[400:450], y_train=labels[:400], y_test=labels[400:450])
    return ["data=npz", f"data.root={path}", "data.shape=[3,8,8]", "data.classes=10"]


REFUSED = {(v, "optimal_gaussian"): "one scale for a batch" for v in ("hvae", "rhvae")}
REFUSED |= {("sigma_vae", c): "argument" for c in of_numbers("likelihood") if c not in AROUND_A_MEAN}


# What a variant does not go with, by the group that decides it: a sentence says why.
UNFIT = {
    "masked_ae": {"condition": {"image"}},
    "stacked_ae": {"condition": {"label", "image"}, "network": {"dcgan", "resnet"}},
    "tied_ae": {
        "network": {"dcgan", "resnet", *(c for c in choices("network") if c.startswith("gated"))},
        "likelihood": {"categorical", "beta_binomial", "discretized_logistic_mixture", "pixel_cnn"},
    },
}


def refused(row: Row) -> bool:
    variant, rectified = row.get("variant"), row.get("network") in RECTIFIED
    if any(row.get(group) in unfit for group, unfit in UNFIT.get(str(variant), {}).items()):
        return True
    return (
        (variant, row.get("likelihood")) in REFUSED
        or row.get("condition") in UNTOLD.get(variant, ())
        or (variant is not None and variant not in PLAIN and rectified)
        or _is_vast(row)
    )


def _is_vast(row: Row) -> bool:
    """Whether a wide layer meets 256 logits for each value of three colours, which takes a minute."""
    wide = row.get("network", "").startswith(("mlp_", "gated_mlp_"))
    return wide and (row.get("likelihood"), row.get("images")) == ("categorical", "colour")


def rows():
    """Every pair of parts in two plain models; every variant with every use, its parts taken in turn.

    The first row of a variant is quick to find a fault by; its others are among the long tests.
    """
    plain = pairwise({"variant": ["ae", "vae"], **PARTS}, refused, apart=[{"network", "likelihood"}])
    yield from few_quick(plain, every=2)
    groups = {"variant": of_numbers("variant"), **PARTS}
    apart = [{part, group} for part in ("network", "likelihood") for group in groups]
    seen: set[str] = set()
    for row in pairwise(groups, refused, apart):
        yield pytest.param(row, marks=[pytest.mark.slow] if row["variant"] in seen else [])
        seen.add(row["variant"])


def named(row: Row) -> str:
    return "-".join(row.values())


@pytest.mark.parametrize("row", rows(), ids=named)
def test_every_variant_trains_is_saved_loaded_and_sampled(train, colours, row):
    chosen = [f"{group}={choice}" for group, choice in row.items() if group != "images"]
    chosen += THIN if row["likelihood"] == "pixel_cnn" else []
    colour = row["images"] == "colour"
    run = train(
        *chosen, *(colours if colour else []), base=small(row.get("variant", "vae"), row.get("network"))
    )
    metrics = finished(run)
    training, data = _loaded(run)
    given = data.val_examples(12)
    trace = training.model(given)
    assert trace.likelihood.mean.shape == (1, 12, 3 if colour else 1, 8, 8)
    assert ("test/elbo" in metrics) == (has_density(trace.posterior) and training.model.fitted)
    assert ("test/mse" in metrics) == (trace.posterior is not None)
    if training.model.prior is None:
        return
    samples = training.model.sample(12, given)
    assert samples.shape == given.x.shape
    assert samples.isfinite().all()
    assert len(samples.flatten(1).unique(dim=0)) == 12


@pytest.mark.parametrize(("variant", "likelihood"), REFUSED)
def test_a_variant_without_that_likelihood_says_so(train, variant, likelihood):
    with pytest.raises(ConfigurationError, match=REFUSED[variant, likelihood]):
        train(f"variant={variant}", f"likelihood={likelihood}")


@torch.no_grad()
def _loaded(run):
    parts = build(recorded_settings(run.config))
    parts.training.load_state_dict(load(run.checkpoints / "best.ckpt")["state_dict"])
    parts.training.model.requires_grad_(False).eval()
    return parts.training, parts.data


@pytest.mark.parametrize("row", pairwise(DETAILS), ids=named)
def test_every_other_choice(train, row):
    few = ["callbacks.importance_sampling.samples=20"] if row["callback"] == "importance_sampling" else []
    finished(train(*(f"{group}={choice}" for group, choice in row.items()), *few))


@pytest.mark.parametrize("values", OF_VECTORS)
def test_every_choice_of_values_of_vectors(train, values):
    finished(train("data=iris", f"values={values}"))


OF_IMAGES = {
    "cycle_gan": "bounds",  # of what is inverted between them
    "msssim_vae": "structural similarity is of images",
    "dcgan": "a convolutional network reads images",
    "pixel_vae": "places in order",
}


@pytest.mark.parametrize("variant", few_quick(of_numbers("variant")))
def test_every_variant_is_of_vectors_too_but_those_that_compare_structure(train, variant):
    overrides, base = ["data=wine", f"variant={variant}"], small(variant)
    if variant in OF_IMAGES:
        with pytest.raises(ConfigurationError, match=OF_IMAGES[variant]):
            train(*overrides, base=base)
        return
    assert ("test/rmse" in finished(train(*overrides, base=base))) == (variant not in GANS)


@pytest.mark.parametrize("debug", choices("debug"))
def test_every_debug(train, debug):
    few = [o for o in SMALL if not o.startswith("trainer.")]
    short = ["trainer.max_epochs=3"] if debug in ("one_batch", "overfit") else ["data.batch_size=512"]
    run = train(f"debug={debug}", *short, "trainer.check_val_every_n_epoch=1", base=few)
    assert run.status is Status.FINISHED
    assert (run.path / "fit-profile.txt").is_file() == (debug == "profiler")


def pairs():
    """Every posterior with every prior; one in eight of them quick, others for each posterior."""
    for (i, posterior), (j, prior) in product(enumerate(choices("posterior")), enumerate(choices("prior"))):
        yield pytest.param(posterior, prior, marks=[pytest.mark.slow] if (i + j) % 8 else [])


@pytest.mark.parametrize(("posterior", "prior"), pairs())
def test_every_pair_of_posterior_and_prior_is_built_or_refused_in_a_sentence(digits, posterior, prior):
    try:
        build(_of_pair(posterior, prior), digits)
    except AelabError as refused:
        (sentence,) = str(refused).splitlines()
        assert "choose" in sentence or "prior" in sentence
        assert prior not in FITTING.get(posterior, ())


@pytest.fixture(scope="module")
def digits():
    """The data of all pairs, in memory once."""
    return build(compose(BATCHES)).data


def _of_pair(posterior, prior):
    """What a pair composes: each of the two is composed once, where the prior's file is of its slot alone."""
    latent = "latent=20" if "categor" in prior or posterior == "gumbel" else "latent=16"
    file = file_of(f"prior/{prior}").read_text()
    if "${" in file or not file.startswith("# @package model.prior\n"):
        return _composed(f"posterior={posterior}", f"prior={prior}", latent)
    config = deepcopy(_composed(f"posterior={posterior}", latent))
    config.model.prior = _composed(f"prior={prior}", latent).model.prior
    return config


@cache
def _composed(*overrides):
    return compose([*BATCHES, "condition=label", *overrides])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["variant=iwae", "posterior=deterministic"], "posterior with a density"),
        (["variant=vae", "posterior=deterministic"], "posterior with a density"),
        (["variant=vae", "prior=none"], "a prior"),
        (["variant=vamp_vae", "posterior=deterministic"], "density"),
        (["variant=iwae", "posterior=gumbel", "prior=uniform_categorical", "latent=20"], "relaxed"),
        (["variant=stl", "posterior=iaf"], "posterior's parameters fixed"),
        (["variant=beta_tc_vae", "posterior=full_gaussian"], "posterior=diagonal_gaussian"),
        (["variant=free_bits_vae", "prior=vamp"], "prior=standard_normal"),
        (["variant=hyperspherical_vae", "prior=standard_normal"], "prior=uniform_sphere"),
        (["variant=gumbel_vae", "latent=16"], "multiple"),
        (["variant=joint_vae", "latent=8"], "discrete"),
        (["variant=miwae", "objective.samples=7"], "multiple"),
        (["variant=msssim_vae", "objective.terms.reconstruction.scales=4"], "too small"),
        (["variant=hvae", "posterior=full_gaussian"], "structure=hamiltonian"),
        (["variant=ladder_vae", "prior=standard_normal"], "prior=top_down"),
        (["variant=low_rank_vae", "model.posterior.rank=17"], "rank"),
        (["condition=attributes"], "data.attributes"),
        (["condition=label", "data.classes=null"], "labels"),
        (["condition=label", "data.classes=5"], "classes"),
        (["condition=image", "model.conditioner.visible=[middle]"], "top_left"),
        (["likelihood=gaussian", "model.likelihood.scale=0"], "scale"),
        (["variant=cvae", "condition=none"], "prior=conditional"),
        (["variant=hvae", "likelihood=optimal_gaussian"], "likelihood=gaussian"),
        (["variant=hvae", "trainer.inference_mode=true"], "inference_mode"),
        (["variant=hvae", "training.compile=networks"], "compile"),
        (["variant=piwae", "structure=hamiltonian"], "structure=plain"),
        (["variant=wae_mmd", "prior=gaussian_mixture"], "nothing in the objective trains model.prior"),
        (["variant=vae", "posterior=ladder"], "structure=ladder"),
        (["variant=masked_ae", "condition=image"], "another condition"),
        (["variant=masked_ae", "model.structure.patch=3"], "choose a divisor"),
        (["variant=stacked_ae", "condition=label"], "condition=none"),
        (["variant=tied_ae", "model.decoder.widths=[20]"], "which is not its transpose: choose"),
        (["variant=tied_ae", "likelihood=categorical"], "which is not its transpose: choose"),
        (["variant=k_sparse_ae", "model.posterior.k=257"], "choose from 1 to 256"),
        (["variant=m2_vae", "data.classes=null"], "declare none"),
        (["variant=m2_vae", "data.labelled=2000"], "at most"),
        (["variant=m2_vae", "prior=standard_normal"], "prior=labelled"),
        (["variant=kl_sparse_ae", "posterior=diagonal_gaussian"], "posterior=deterministic"),
        (["variant=ae", "objective=revived"], "posterior=top_k"),
    ],
)
def test_what_makes_no_sense_is_refused_before_training(train, tmp_path, overrides, sentence):
    with pytest.raises(AelabError, match=sentence) as refusal:
        train(*overrides)
    assert len(str(refusal.value).splitlines()) == 1
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.parametrize("visible", [["top_left"], ["bottom_left", "bottom_right"]])
def test_hidden_quadrants_are_predicted_and_visible_ones_shown(train, visible):
    run = train("condition=image", f"model.conditioner.visible=[{','.join(visible)}]", "pictures.columns=4")
    finished(run)
    training, data = _loaded(run)
    given = data.val_examples(6)
    shown = training.model.conditioner.hidden.expand_as(given.x) == 0
    for images in (training.model.sample(6, given), training.model(given).likelihood.mean[0]):
        assert torch.equal(images[shown], given.x[shown])
        assert not torch.equal(images, given.x)
    with Image.open(run.pictures / "samples.png") as picture:
        assert picture.size[0] > picture.size[1] // 3


def test_attributes_are_a_condition(train):
    run = train("data=dsprites", "data.source.count=600", "data.validation=50", "condition=attributes")
    finished(run)


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment(train, experiment, mnist_root):
    few = ["callbacks.importance_sampling.samples=5", "callbacks.importance_sampling.images=20"]
    few = few if experiment.startswith("burda") else []
    finished(train(f"experiment={experiment}", f"data.root={mnist_root}", *few, base=BATCHES))
