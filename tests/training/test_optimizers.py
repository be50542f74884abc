"""Whose parameters are stepped by what: one group each, one step counted, the same exact resume."""

import pytest
import torch
from small import SMALL
from torch import nn

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.core.signals import Signals
from aelab.runs.build import build
from aelab.runs.folder import Run, Status
from aelab.runs.train import resume
from aelab.training.base import Training
from aelab.training.checkpoints import load, resume_points
from aelab.training.optimizers import check_scaled, grouped
from aelab.training.standard import Standard
from aelab.training.vectorised.stacked_training import StackedTraining

LABEL = ["+objective.terms.label._target_=toys.Classifier"]
AVERAGE = ["+objective.terms.average._target_=toys.Average"]
POINTS = ["resume_points.every_batches=1", "resume_points.keep=99"]
HEAD = "objective.terms.label.head.weight"


def newest(run):
    return load(resume_points(run.checkpoints)[0])


def test_a_parameter_is_in_the_group_of_its_first_owner():
    shared, own = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = grouped({"model": shared, "terms": nn.ModuleList([shared, own]), "critics": nn.Identity()})
    assert groups == {"model": [*shared.parameters()], "terms": [*own.parameters()]}


def test_terms_have_an_optimiser_of_their_own_and_a_batch_is_one_step(train):
    point = newest(
        train(*LABEL, "+optimizer@training.optimizers.terms=sgd", "training.optimizers.terms.lr=0.25")
    )
    model, terms = point["optimizer_states"]
    assert point["global_step"] == 3
    assert {int(state["step"]) for state in model["state"].values()} == {3}
    assert len(model["state"]) == sum(name.startswith("model.") for name in point["state_dict"])
    assert [len(group["params"]) for group in terms["param_groups"]] == [2]
    assert terms["param_groups"][0]["lr"] == 0.25


def test_the_default_is_the_models_optimiser_and_every_rate_follows_the_schedule(train):
    point = newest(train(*LABEL, "optimizer.lr=0.01", "lr_schedule=linear"))
    model, terms = (state["param_groups"][0] for state in point["optimizer_states"])
    assert model["lr"] == terms["lr"] == pytest.approx(0.01 / 3)
    assert terms["initial_lr"] == 0.01


def test_each_group_is_clipped_by_its_own_norm(train, monkeypatch):
    norms = []

    def spy(self, optimizer):
        before(self, optimizer)
        gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat(gradients).norm().item())

    before = Training.on_before_optimizer_step
    monkeypatch.setattr(Training, "on_before_optimizer_step", spy)
    train(*LABEL, "training.gradient_clip_val=0.001")
    assert norms == pytest.approx([0.001] * 6, rel=1e-2)


@pytest.mark.parametrize(("accumulated", "sizes"), [(5, [10]), (2, [8, 2])])
def test_the_gradient_of_accumulated_batches_is_the_mean_over_their_images(
    train, monkeypatch, accumulated, sizes
):
    """Ten images in batches of 4, 4 and 2: a short batch or group counts for what it holds."""
    steps, seen = [], []

    def spy(self, optimizer):
        rows = torch.cat(seen)
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        expected = torch.autograd.grad(loss(self, rows), trained)
        steps.append(len(rows))
        for parameter, gradient in zip(trained, expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
        seen.clear()
        before(self, optimizer)

    @torch.enable_grad()
    def loss(self, rows):
        return self.costs(self.model(Batch(rows)))[1]

    def step(self, batch, index):
        seen.append(batch.x)
        whole(self, batch, index)

    before, whole = Training.on_before_optimizer_step, Standard.training_step
    monkeypatch.setattr(Training, "on_before_optimizer_step", spy)
    monkeypatch.setattr(Standard, "training_step", step)
    run = train(
        "variant=ae", "data.validation=1490", "data.batch_size=4", "trainer.limit_train_batches=null",
        "trainer.max_epochs=1", "trainer.log_every_n_steps=3",
        f"training.accumulate_grad_batches={accumulated}",
    )  # fmt: skip
    assert steps == sizes
    assert newest(run)["global_step"] == len(sizes)


def test_accumulated_batches_step_all_groups_at_once(train):
    point = newest(train(*LABEL, "training.accumulate_grad_batches=2"))
    steps = {int(s["step"]) for state in point["optimizer_states"] for s in state["state"].values()}
    assert (point["global_step"], steps) == (2, {2})


@pytest.mark.usefixtures("listed")
def test_a_run_with_two_optimisers_continues_to_the_same_bits(train):
    run = train(*LABEL, *AVERAGE, *POINTS, "trainer.limit_train_batches=6")
    end, journal = newest(run), run.metrics.read_bytes()
    run.update(status=Status.KILLED)
    for point in resume_points(run.checkpoints)[:3]:
        point.unlink()
    resume(Run.open(run.path), Signals())
    again = newest(run)
    assert all(value.equal(again["state_dict"][name]) for name, value in end["state_dict"].items())
    assert run.metrics.read_bytes() == journal


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["+optimizer@training.optimizers.critics=sgd"], r"optimizers\.critics is for no parameters"),
        (["+optimizer@training.optimizers.model=sgd"], r"optimizers\.model is for no parameters"),
        ([*LABEL, "+objective.terms.label.idle=true"], r"trains objective\.terms\.label\.idle"),
        ([*LABEL, "trainer=fsdp", "trainer.accelerator=cpu"], "parameters of its own"),
        (["training=adversarial"], "needs objective.critics"),
        (["critic=[codes]", "training=standard"], "training=adversarial"),
    ],
)  # fmt: skip
def test_what_nothing_trains_or_everybody_would_is_refused(overrides, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        build(compose([*SMALL, *overrides]))


def test_scaled_losses_are_for_one_optimiser():
    one, other = (torch.optim.SGD([nn.Parameter(torch.zeros(1))]) for _ in range(2))
    check_scaled({"model": one}, None)
    with pytest.raises(ConfigurationError, match="model, terms"):
        check_scaled({"model": one, "terms": other}, None)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_terms_follow_each_step_once_in_float32(train, monkeypatch, precision):
    built = []
    follow = Training.follow

    def spy(self, trace):
        built.append(self)
        follow(self, trace)

    monkeypatch.setattr(Training, "follow", spy)
    run = train(*AVERAGE, f"trainer.precision={precision}", "training.accumulate_grad_batches=2")
    (term,) = {training.objective.terms["average"] for training in built}
    rehearsed, steps = 2, 2  # on two images and on four, then three batches
    assert len(term.seen) == rehearsed + steps
    assert term.modes == {(False, False)}
    mean = torch.zeros(16)
    for batch in term.seen[rehearsed:]:
        mean.lerp_(torch.tensor(batch), 0.5)
    assert newest(run)["state_dict"]["objective.terms.average.mean"].equal(mean)


@pytest.mark.parametrize("variant", ["vae", "optimal_sigma_vae"])
def test_a_rehearsal_leaves_no_trace(variant):
    parts = build(compose([*SMALL, *AVERAGE, *LABEL, f"variant={variant}"]))
    before = {name: value.clone() for name, value in parts.training.state_dict().items()}
    flops = parts.training.rehearse(parts.data.val_examples(8))
    assert flops > 0
    assert all(value.equal(before[name]) for name, value in parts.training.state_dict().items())
    assert all(parameter.grad is None for parameter in parts.training.parameters())


def test_members_of_a_stack_have_no_optimisers_of_their_own():
    for overrides in (LABEL, AVERAGE):
        members = [build(compose([*SMALL, *overrides, f"seed={seed}"])).training for seed in (0, 1)]
        with pytest.raises(ConfigurationError, match="parameters of models alone"):
            StackedTraining(members, 1, torch.device("cpu"))
