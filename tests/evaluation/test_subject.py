"""What the parts of an evaluation are given: clean images, levels that mean the same, nothing told."""

import numpy as np
import pytest
import torch
from known import CPU, SHAPE, Arrays, Pixels, Shown, subject
from small import only, small
from torch import nn

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Sizes
from aelab.data import kinds
from aelab.data.module import DataModule
from aelab.data.splits import Observations, Splits
from aelab.data.values import Dynamic, Fixed, Grey, Threshold
from aelab.evaluation.disentanglement import Disentanglement
from aelab.evaluation.generation import Generation
from aelab.evaluation.interpretability import Interpretability
from aelab.evaluation.likelihood import Likelihood
from aelab.evaluation.reconstruction import Reconstruction
from aelab.evaluation.representation import Representation
from aelab.evaluation.stability import Stability
from aelab.evaluation.subject import Subject
from aelab.models import Autoencoder
from aelab.models.conditions import OneHot, VisibleQuadrants
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.corruption import Masking
from aelab.models.priors import StandardNormal

BOUND = Likelihood(samples=2, images=50, codes=50)


class Attributed:
    """Images whose second attribute takes three values, two of them in the test split, the first one any."""

    def prepare(self): ...

    def load(self):
        rng = np.random.default_rng(0)
        parts = {}
        for split, count, levels in (("train", 600, [0, 0.5, 1]), ("test", 200, [0.5, 1])):
            attributes = np.stack(
                [rng.random(count), rng.choice(levels, count), rng.choice([0, 1], count)], 1
            )
            x = rng.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
            parts[split] = Observations(torch.from_numpy(x), attributes=torch.from_numpy(attributes).float())
        return Splits(**parts, checksums={})


def attributed(names=("any", "three", "two")):
    data = DataModule(
        "made",
        Attributed(),
        SHAPE,
        None,
        64,
        500,
        100,
        kinds.Pixels(),
        Grey(),
        0,
        (0, 1),
        attributes=3,
        attribute_names=names,
    )
    return Subject(subject().model, data, "known", 0, CPU)


def test_a_level_means_the_same_in_every_split():
    of = attributed()
    for split in ("train", "test"):
        three = of.data.observations(split).attributes[of.data.drawn(split), 1].numpy()
        assert np.array_equal(of.factors(split)["three"], (2 * three).astype(int))


def test_an_attribute_of_any_value_is_no_factor(found):
    of = attributed()
    assert (list(of.factors("test")), of.continuous) == (["three", "two"], ["any"])
    findings = found(Disentanglement(train=300, test=200), of)
    assert "continuous" in findings.left_out["disentanglement/any"]
    assert "disentanglement/mig" in findings.estimates
    for column in (1, 2):
        of.data.observations("train").attributes[:, column].uniform_()
    with pytest.raises(InapplicableError, match="attributes of made are continuous: any, three, two"):
        Subject(of.model, of.data, "known", 0, CPU).factors("test")


def test_a_measure_that_refuses_leaves_the_others(found):
    of = attributed()
    for split in ("train", "val", "test"):
        of.data.observations(split).attributes[:, 2] = 0
    findings = found(Disentanglement(train=300, test=200), of)
    assert "2 or more" in findings.left_out["disentanglement/dci"]
    assert {"disentanglement/mig", "disentanglement/sap"} <= findings.estimates.keys()


def test_codes_are_those_of_the_clean_image():
    noisy = subject()
    noisy.model.corruption = Masking(0.9)
    assert np.array_equal(noisy.codes("test"), subject().codes("test"))
    trace = next(noisy.traces("test", 300))
    assert (trace.corrupted == 0).float().mean() > 0.8
    torch.testing.assert_close(trace.x, noisy.expected("test")[:300])


def test_codes_are_computed_once_and_are_the_same_for_fewer_images():
    of = subject()
    few, every = of.codes("train", 700), of.codes("train")
    assert len(every) == 3900
    assert few == pytest.approx(every[:700], abs=1e-6)
    of.model.encoder = None  # not asked again
    assert np.array_equal(of.codes("train", 100), every[:100])


def test_what_an_encoder_is_told_is_not_asked_of_its_codes(found):
    told = subject(decoder=Shown(told=True), conditioner=OneHot(Sizes(classes=4)))
    with pytest.raises(InapplicableError, match="told the label"):
        found(Representation(draws=2, tsne=False), told)
    findings = found(Interpretability(pairs=2, images=200), told)
    assert "told the label" in findings.left_out["interpretability/carriers"]
    of = attributed()
    of.model.conditioner = OneHot(Sizes(classes=4))
    with pytest.raises(InapplicableError, match="told the label"):
        found(Disentanglement(), of)


def visible(hidden_error=0.0):
    """A model that is told the left half, and makes of the right half what its code says."""
    model = Autoencoder(
        nn.Flatten(), Pixels(log_variance=-30.0), Shown(), subject().model.likelihood,
        prior=StandardNormal(Sizes(latent=4)),
        conditioner=VisibleQuadrants(Sizes(SHAPE), ("top_left", "bottom_left"), (3,)),
    )  # fmt: skip
    model.encoder = Told()
    data = DataModule("grey", Arrays(), SHAPE, 4, 64, 500, 100, kinds.Pixels(), Grey(), 0, (0, 1))
    return Subject(model.eval(), data, "known", 0, CPU)


class Told(nn.Module):
    def forward(self, x, context=None):
        return x.flatten(1)


def test_parts_of_an_image_that_are_told_are_neither_disturbed_nor_counted(found):
    findings = found(Stability(images=300, repeats=2, noise=0.1), visible())
    grown = findings.estimates["stability/mse_increase_input_noise"]
    assert grown.value == pytest.approx(
        0.01, rel=0.2
    )  # of each hidden value, of which the noise has this variance
    assert "told to the model" in found(Reconstruction(), visible()).left_out["reconstruction/ssim"]
    assert "told" in found(Generation(count=200), visible()).undefined["generation"]


@pytest.mark.parametrize("rule", [Grey(), Dynamic(), Fixed(), Threshold()])
def test_samples_are_compared_with_what_their_means_tend_to(rule):
    data = DataModule("grey", Arrays(), SHAPE, 4, 64, 500, 100, kinds.Pixels(), rule, 0, (0, 1))
    of = Subject(subject().model, data, "known", 0, CPU)
    grey = Arrays().load().test.x[of.data.drawn("test")].float() / 255
    expected = (grey > 0.5).float() if isinstance(rule, Threshold) else grey
    assert torch.equal(of.expected("test")[:], expected)
    assert torch.equal(of.expected("test", 10)[3:8], expected[3:8])
    assert torch.equal(of.expected("test")[torch.tensor([7, 2])], expected[[7, 2]])
    reference = subject().expected("train")[:20]
    assert torch.equal(
        of.expected("train")[:20], (reference > 0.5).float() if expected is not grey else reference
    )


def test_constant_codes_are_dead_also_without_a_rate(found):
    of = subject(Pixels(constant=True), prior=False)
    assert found(BOUND, of).alarms["dead_codes"].startswith("4 of 4 latent dimensions vary less")
    assert "dead_codes" not in found(BOUND, subject(prior=False)).alarms


def test_a_cross_entropy_of_grey_values_is_said_to_be_no_likelihood(found):
    model = subject().model
    model.likelihood = Bernoulli()
    notes = {}
    for rule in (Grey(), Dynamic()):
        data = DataModule("grey", Arrays(), SHAPE, 4, 64, 500, 100, kinds.Pixels(), rule, 0, (0, 1))
        estimates = found(BOUND, Subject(model, data, "known", 0, CPU)).estimates
        notes[type(rule)] = [estimates[f"likelihood/{name}"].note for name in ("elbo", "nll", "kl")]
    assert ["no likelihood" in note for note in notes[Grey]] == [True, True, False]
    assert not any("no likelihood" in note for note in notes[Dynamic])


def test_two_feature_spaces_for_one_part_are_refused():
    with pytest.raises(ConfigurationError, match="two feature spaces: give one"):
        Generation(features="a.ckpt", inception="b.pt")


def test_checksums_tell_which_images_are_which_split():
    def checksums(*overrides):
        data = construct(compose(["data=dsprites", *overrides]).data, "data")
        return data.source.load().checksums

    first = checksums("data.source.count=50")
    assert first == checksums("data.source.count=50")
    for other in (["data.source.count=60"], ["data.source.count=50", "data.source.test=0.3"]):
        assert checksums(*other) != first


def test_a_generator_that_critics_trained_has_no_likelihood(train, evaluate):
    found = evaluate(train("variant=gan", base=small("gan")), *only("likelihood"))
    assert not found["estimates"]
    assert not found["alarms"]
    reasons = {
        found["undefined"][f"likelihood/{name}"] for name in ("distortion", "elbo", "nll", "nll_bits_per_dim")
    }
    assert reasons == {"critics alone trained this model, and no likelihood was fitted"}


def test_a_model_has_a_likelihood_where_any_term_is_no_critics(train, evaluate):
    pairs = evaluate(train("variant=ali"), *only("likelihood"))
    assert {"likelihood/elbo", "likelihood/nll", "likelihood/distortion"} <= pairs["undefined"].keys()
    assert pairs["estimates"]["likelihood/kl"]["value"] > 0
    both = evaluate(train("variant=aae"), *only("likelihood"))
    assert "likelihood/distortion" in both["estimates"]
