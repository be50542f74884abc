"""What critics read beside their score: labels, and the information between codes and samples."""

import math

import pytest
import torch
from small import small
from torch import nn
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes
from aelab.objectives.adversarial.auxiliary import CodeTask, LabelTask
from aelab.objectives.adversarial.comparisons import ObservationsWithSamples
from aelab.objectives.adversarial.critic import Deception, Discriminator, Recognition
from aelab.objectives.adversarial.losses import NonSaturating
from aelab.objectives.base import Objective
from aelab.runs.build import build

JOINT = ["prior=joint", "model.prior.discrete=[3,2]", "latent=8"]


def generator(*options):
    training = build(compose([*small("gan"), "variant=gan", *options])).training
    batch = Batch(torch.rand(500, 1, 8, 8), torch.arange(500) % 10)
    return training, training.model(batch)


def one_hot(places, size):
    return torch.eye(size)[places]


def test_a_reader_that_knows_nothing_pays_the_entropy_and_one_that_knows_all_pays_nothing():
    training, trace = generator(*JOINT)
    task = CodeTask(training.model.sizes, discrete=[3, 2])
    assert task.entropy == pytest.approx(math.log(6))
    nothing = task.made(torch.zeros(500, 5), trace, training.model)
    assert_close(nothing, torch.full((500,), math.log(6)))
    all_ = task.made(50 * trace.z[0][:, 3:], trace, training.model)
    assert all_.abs().max() < 1e-3
    anything = task.made(torch.randn(500, 5), trace, training.model)
    assert (anything >= 0).all()  # so that the bound is at most H(c)


def test_a_gaussian_reader_of_continuous_codes_bounds_their_information():
    """c ~ N(0, 1) read by N(c r, 1 - r^2) has the cost of the best reader of x = r c + noise."""
    training, trace = generator(*JOINT)
    task = CodeTask(training.model.sizes, continuous=1)
    c, r = trace.z[0][:, :1], 0.8
    seen = r * c + (1 - r**2) ** 0.5 * torch.randn_like(c)
    outputs = torch.cat([r * seen, torch.full_like(c, math.log(1 - r**2))], 1)
    bound = task.entropy - task.made(outputs, trace, training.model).mean().item()
    assert bound == pytest.approx(-0.5 * math.log(1 - r**2), abs=0.15)


def test_labels_of_both_sides_are_read_by_a_critic_that_is_not_told_them():
    training, trace = generator("condition=label")
    task = LabelTask(training.model.sizes)
    for cost in (task.true, lambda outputs, trace: task.made(outputs, trace, training.model)):
        assert_close(cost(torch.zeros(500, 10), trace), torch.full((500,), math.log(10)))
        assert cost(50 * one_hot(trace.batch.y, 10), trace).abs().max() < 1e-3
    training = build(compose([*small("acgan"), "variant=acgan"])).training
    first = next(p for p in training.objective.critics["samples"].network.parameters() if p.dim() == 2)
    assert first.shape[1] == 64
    untold = build(compose([*small("cgan"), "variant=cgan"])).training.objective.critics["samples"].network
    assert next(p for p in untold.parameters() if p.dim() == 2).shape[1] == 74


def test_a_critic_reads_what_the_model_makes_once_for_all_of_its_terms():
    seen = []

    class Network(nn.Module):
        def __init__(self, shapes, context, outputs):
            super().__init__()
            self.head = nn.Linear(64, outputs)

        def forward(self, sample):
            seen.append(self.head.out_features)
            return self.head(sample.parts[0].flatten(1))

    training, trace = generator(*JOINT)
    sizes = training.model.sizes

    def critic(auxiliary):
        return Discriminator(sizes, Network, ObservationsWithSamples(), NonSaturating(), auxiliary=auxiliary)

    terms = {"deception": Deception("d"), "information": Recognition("d")}
    objective = Objective(terms, critics={"d": critic(lambda sizes: CodeTask(sizes, [3, 2]))})
    objective(trace, training.model)
    assert seen == [6]
    with pytest.raises(ConfigurationError, match="variant=acgan"):
        Objective({"information": Recognition("d")}, critics={"d": critic(None)})


def test_what_cannot_be_read_is_refused():
    with pytest.raises(ConfigurationError, match="condition=label"):
        LabelTask(Sizes(latent=4, classes=10))
    for options in ({}, {"discrete": [3, 2]}, {"continuous": 5}):
        with pytest.raises(ConfigurationError, match="latent=4"):
            CodeTask(Sizes(latent=4), **options)


def vae_gan(critic, task):
    reads = f"objective.terms.reconstruction.critic={critic}"
    node = f"{{_partial_: true, _target_: aelab.objectives.adversarial.auxiliary.{task}}}"
    asks = f"+objective.critics.{critic}.auxiliary={node}"
    training = build(
        compose([*small("vae_gan"), "variant=vae_gan", "condition=label", f"critic=[{critic}]", reads, asks])
    ).training
    return training, training.model(Batch(torch.rand(50, 1, 8, 8), torch.arange(50) % 10))


def test_features_of_a_critic_that_is_not_told_labels_are_compared_without_them():
    training, trace = vae_gan("reconstructions", "LabelTask")
    assert training.objective(trace, training.model)["reconstruction"] > 0


def test_labels_are_read_off_both_sides_where_one_is_twice_the_other():
    training, trace = vae_gan("observations", "LabelTask")
    critic = training.objective.critics["observations"]
    alone = critic.loss.critic(
        *(
            critic.network(critic.seen(side, 0))[:, 0]
            for side in (
                critic.compares.true(trace, training.model),
                critic.compares.made(trace, training.model),
            )
        )
    )
    cost = critic.cost(trace, training.model)
    assert alone < cost < alone + 4 * math.log(10)


def test_codes_are_read_off_samples_alone():
    for critic in ("observations", "reconstructions"):
        with pytest.raises(ConfigurationError, match=r"CodeTask .*choose critic=\[samples\]"):
            vae_gan(critic, "CodeTask, continuous: 2")
