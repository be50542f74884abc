"""Distances in the layers of a frozen encoder: closed forms, and whose the encoder is."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from small import SMALL, small
from torch import nn
from torch.distributions import Independent, Normal
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.errors import AelabError, ConfigurationError
from aelab.core.records import Batch, Sizes, Trace
from aelab.core.signals import Signals
from aelab.models.networks.conv import ConvEncoder
from aelab.models.networks.mlp import MLPEncoder
from aelab.objectives.features import FeatureDistance
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume
from aelab.training.checkpoints import load, resume_points

SHAPE = (3, 8, 8)
FEATURES = ["objective/penalty=[features]"]


def trace_of(x, mean):
    likelihood = Independent(Normal(mean, 1.0), x.dim() - 1)
    posterior = Independent(Normal(torch.zeros(len(x), 2), 1.0), 1)
    return Trace(Batch(x), x, None, posterior, None, torch.zeros(len(mean), len(x), 2), lambda: likelihood)


def convolutions(sizes, **options):
    return ConvEncoder(sizes, [4, 5], activation=nn.Tanh, **options)


def distance(network=convolutions, shape=SHAPE, **options):
    torch.manual_seed(0)
    return FeatureDistance(Sizes(shape), network, **options)


@pytest.fixture
def pair():
    torch.manual_seed(1)
    return torch.rand(6, *SHAPE), torch.rand(2, 6, *SHAPE, requires_grad=True)


def identity(sizes):
    """Of images: their values as the only features."""
    made = ConvEncoder(sizes, [3], activation=nn.Identity, kernel=1, strides=[1])
    with torch.no_grad():
        made.layers[0].weight.copy_(torch.eye(3)[..., None, None])
        made.layers[0].bias.zero_()
    return made


@pytest.mark.parametrize("normalised", [True, False])
def test_it_is_zero_where_the_reconstruction_is_the_observation_alone(pair, normalised):
    x, mean = pair
    term = distance(normalised=normalised)
    assert term(trace_of(x, x.expand(2, *x.shape)), None) == 0
    assert term(trace_of(x, mean), None) > 0


def test_where_the_features_are_the_values_it_is_half_the_squared_error(pair):
    x, mean = pair
    found = distance(identity, normalised=False)(trace_of(x, mean), None)
    assert_close(found, 0.5 * (mean - x).square().flatten(2).sum(2).mean())


def test_of_normalised_features_it_is_1_minus_the_cosine_at_each_place(pair):
    x, mean = pair
    found = distance(identity)(trace_of(x, mean), None)
    cosines = F.cosine_similarity(mean, x.expand_as(mean), dim=2)
    assert_close(found, (1 - cosines).flatten(2).sum(2).mean())
    assert distance(identity)(trace_of(x, 3 * x[None]), None) < 1e-3  # brighter, and alike


def test_a_network_without_layers_is_refused():
    with pytest.raises(ConfigurationError, match="no sequence of layers"):
        distance(lambda sizes: MLPEncoder(sizes, []))


def test_it_is_the_sum_over_layers(pair):
    x, mean = pair
    term = distance(normalised=False)
    first, second = (nn.Sequential(*term.network.layers[:end]) for end in (2, 4))
    by_hand = sum(
        0.5 * (layer(mean.flatten(0, 1)) - layer(x.repeat(2, 1, 1, 1))).square().flatten(1).sum(1).mean()
        for layer in (first, second)
    )
    assert_close(term(trace_of(x, mean), None), by_hand)


def test_the_reconstruction_learns_by_it_and_the_network_does_not(pair):
    x, mean = pair
    term = distance(lambda sizes: ConvEncoder(sizes, [4], stage=lambda c, a: nn.BatchNorm2d(c)))
    before = {name: value.clone() for name, value in term.state_dict().items()}
    term.train()(trace_of(x, mean), None).backward()
    assert mean.grad.any()
    assert not any(p.requires_grad or p.grad is not None for p in term.parameters())
    assert all(value.equal(before[name]) for name, value in term.state_dict().items())


def test_where_nothing_is_seen_the_gradient_is_finite(pair):
    dark = torch.zeros(1, 6, *SHAPE, requires_grad=True)
    distance(identity)(trace_of(pair[0], dark), None).backward()
    assert dark.grad.isfinite().all()
    assert dark.grad.any()


@pytest.fixture(scope="module")
def labelled(train_once):
    return train_once("variant=vae", "network=conv", "latent=4", base=small(network="conv"))


def test_a_training_compares_in_another_runs_encoder_which_stays_as_it_is(labelled, train, tmp_path):
    source = RunFolder(tmp_path / "source")
    shutil.copytree(labelled.path, source.path)
    run = train(
        *FEATURES, "variant=vq_gan", "network=conv", "model.encoder.flat=false", f"start.run={source.path}",
        "resume_points.every_batches=1", "resume_points.keep=99", base=small(network="conv"),
    )  # fmt: skip
    theirs = {k.removeprefix("model.encoder."): w for k, w in load(labelled.best)["state_dict"].items()}
    point = load(resume_points(run.checkpoints)[0])
    held = {k: w for k, w in point["state_dict"].items() if k.startswith("objective.terms.features.network")}
    assert len(held) == 4
    for name, value in held.items():
        assert value.equal(theirs[name.removeprefix("objective.terms.features.network.")])
    settings = Run.open(run.path).settings
    assert len(settings.start.sha256) == 64
    assert settings.objective.terms.features.network.channels == [32, 64]
    shutil.rmtree(source.path)
    journal = run.metrics.read_bytes()
    assert b"train/features" in journal
    run.update(status=Status.KILLED)
    resume_points(run.checkpoints)[0].unlink()
    resume(Run.open(run.path), Signals())
    assert run.metrics.read_bytes() == journal
    assert (run.checkpoints / "start.ckpt").is_file()


def test_where_there_is_no_such_encoder_one_sentence_says_so(train_once, labelled):
    def refused(*options):
        with pytest.raises(AelabError) as refusal:
            build(compose([*SMALL, *options]))
        assert isinstance(refusal.value, ConfigurationError)
        assert len(str(refusal.value).splitlines()) == 1
        return str(refusal.value)

    assert "give start.run=FOLDER" in refused(*FEATURES)
    assert "start.features=true" in refused(*FEATURES, f"start.run={labelled.path}", "start.features=false")
    assert "add objective/penalty=[features]" in refused("start.features=true", f"start.run={labelled.path}")
    told, gan = train_once("variant=cvae"), train_once("variant=gan", base=small("gan"))
    assert "condition=none" in refused(*FEATURES, f"start.run={told.path}")
    assert "an encoder" in refused(*FEATURES, f"start.run={gan.path}")
    assert "data.shape" in refused(*FEATURES, f"start.run={labelled.path}", "data.shape=[1,8,4]")
    options = [*small("gan"), *FEATURES, "variant=gan", f"start.run={labelled.path}"]
    with pytest.raises(ConfigurationError, match="a reconstruction needs a posterior"):
        build(compose(options))
