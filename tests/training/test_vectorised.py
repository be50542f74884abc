"""What stacked steps are made of: noise, batches and optimisers, each against what a member has alone."""

import pytest
import torch
from small import SMALL

from aelab.config.compose import compose
from aelab.core.records import Batch
from aelab.core.seeds import seed_generators, step_seed
from aelab.data.stacked import StackedLoader
from aelab.runs.build import build
from aelab.training.vectorised.noise import DrawRecorder, DrawReplayer
from aelab.training.vectorised.stacked_training import StackedOptimizer, StackedTraining

CPU = torch.device("cpu")


def built(*overrides, seeds=(0, 1)):
    return [build(compose([*SMALL, *overrides, f"seed={seed}"])) for seed in seeds]


def noisy(x):
    gumbel = torch.empty_like(x).exponential_()
    return [torch.randn(3, 2), torch.rand_like(x), gumbel, torch.randn_like(x)]


def test_draws_are_those_that_a_pass_makes_itself():
    with DrawRecorder() as recorded:
        noisy(torch.zeros(5, 4))
    torch.manual_seed(3)
    expected = noisy(torch.zeros(5, 4))
    torch.manual_seed(3)
    with DrawReplayer([draw() for draw in recorded.draws]):
        found = noisy(torch.zeros(5, 4))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("choice", ["grey", "dynamic"])
def test_stacked_batches_are_those_of_each_loader(choice):
    loaders = [part.data.train_dataloader() for part in built(f"values={choice}")]
    for epoch in range(2):
        for loader in loaders:
            loader.set_epoch(epoch)
        stacked = list(StackedLoader(loaders).batches(epoch, len(loaders[0])))
        for row, loader in enumerate(loaders):
            for batch, expected in zip(stacked, loader, strict=True):
                assert torch.equal(batch.x[row], expected.x)
                assert torch.equal(batch.y[row], expected.y)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_rows_step_as_optimisers_of_their_own(optimizer):
    members = [
        *(part.training for part in built(f"optimizer={optimizer}")),
        built(f"optimizer={optimizer}", "optimizer.lr=0.1", seeds=[2])[0].training,
    ]
    flat, gradient = torch.randn(3, 7), torch.randn(4, 3, 7)
    alone = [torch.nn.Parameter(row.clone()) for row in flat]
    own = [member.make_optimizer([p]) for member, p in zip(members, alone, strict=True)]
    rows = StackedOptimizer(members, flat, 4)
    assert len(rows.optimizer.param_groups) == 2
    for step in range(4):
        rows.step(gradient[step].clone(), step)
        for parameter, one, grad in zip(alone, own, gradient[step], strict=True):
            parameter.grad = grad.clone()
            one.step()
    torch.testing.assert_close(flat, torch.stack([p.detach() for p in alone]))


def test_the_noise_of_a_step_is_the_members_own():
    members = [part.training for part in built("network=mlp")]
    x = torch.rand(4, 1, 8, 8)
    steps = StackedTraining(members, 1, CPU)
    _, values = steps.gradient(Batch(torch.stack([x, x])), 2, 5)
    for row, member in enumerate(members):
        seed_generators(step_seed(member.seed, "train", 2, 5), CPU)
        expected = member.objective(member.model(Batch(x)), member.model)
        torch.testing.assert_close(values[:-1, row], torch.stack(list(expected.values())))
