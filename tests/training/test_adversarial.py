"""Critics and model in turn: whose gradients there are, one step a batch, and a kill between two steps."""

import json
import math
from pathlib import Path

import forks
import pytest
import torch
from small import SMALL

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.signals import Signals
from aelab.loggers.jsonl import rows
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder
from aelab.runs.train import resume
from aelab.training import optimizers
from aelab.training.base import Training
from aelab.training.checkpoints import load, resume_points

ROOT = Path(__file__).parents[2]
TOY = [
    "training=adversarial", "+objective.critics.codes._target_=toys.CodeCritic",
    "+objective.terms.deception._target_=toys.Deception", "+objective.terms.deception.critic=codes",
    "+objective.terms.label._target_=toys.Classifier",
]  # fmt: skip
POINTS = ["resume_points.every_batches=1", "resume_points.keep=99"]


def newest(run):
    return load(resume_points(run.checkpoints)[0])


def owners(training):
    """The owners of all parameters that have a gradient now."""
    names = [name for name, p in training.named_parameters() if p.grad is not None]
    return {".".join(name.split(".")[: 1 if name.startswith("model") else 2]) for name in names}


def test_each_player_has_its_own_gradients_and_a_batch_is_one_step(train, monkeypatch):
    seen = []

    def spy(self, optimizer):
        groups = self.groups()
        (stepped,) = [n for n, group in groups.items() if group[0] is optimizer.param_groups[0]["params"][0]]
        seen.append((stepped, owners(self), self.global_step))
        before(self, optimizer)

    before = Training.on_before_optimizer_step
    monkeypatch.setattr(Training, "on_before_optimizer_step", spy)
    point = newest(train(*TOY, "training.rounds=2"))
    critics, rest = {"objective.critics"}, {"model", "objective.terms"}
    each = [("codes", critics), ("codes", critics), ("terms", rest), ("model", {"model"})]
    assert seen == [(*one, step) for step in range(3) for one in each]
    assert point["global_step"] == 3
    steps = [{int(s["step"]) for s in state["state"].values()} for state in point["optimizer_states"]]
    assert steps == [{3}, {6}, {3}]  # model, critics, terms


def test_a_critics_step_lowers_its_cost_and_leaves_the_model(train):
    training = build(compose([*SMALL, *TOY])).training
    batch = build(compose(SMALL)).data.val_examples(64)
    torch.manual_seed(0)
    trace = training.model(batch)
    weights = [p.clone() for p in training.model.parameters()]
    optimizer = torch.optim.SGD(training.groups()["codes"], 0.1)
    costs = []
    for _ in range(20):
        torch.manual_seed(1)
        costs.append(training.critic_costs(trace)[1])
        costs[-1].backward(inputs=training.sides[0])
        optimizer.step()
        optimizer.zero_grad()
    assert costs[-1] < costs[0]
    assert all(
        p.equal(w) and p.grad is None for p, w in zip(training.model.parameters(), weights, strict=True)
    )


@pytest.mark.usefixtures("listed")
def test_a_kill_between_the_critics_step_and_the_models_changes_no_bit(train, tmp_path, monkeypatch):
    options = [*TOY, *POINTS, "trainer.limit_train_batches=6", "trainer.log_every_n_steps=2"]
    whole = train(*options)

    def dies(self, trace):
        if trace.step == 4:
            raise KeyboardInterrupt
        return costs(self, trace)

    costs = Training.costs
    with monkeypatch.context() as patch:
        patch.setattr(Training, "costs", dies)
        with pytest.raises(SystemExit):  # Lightning's answer to an interrupt
            train(*options)
    (killed,) = {record.parent for record in tmp_path.rglob("record.json")} - {whole.path}
    assert newest(RunFolder(killed))["global_step"] == 4
    resume(Run.open(killed), Signals())
    ends = [newest(run) for run in (whole, RunFolder(killed))]
    assert all(v.equal(ends[1]["state_dict"][k]) for k, v in ends[0]["state_dict"].items())
    assert (killed / "metrics.jsonl").read_bytes() == whole.metrics.read_bytes()


def test_critics_are_logged_beside_the_terms(train):
    (row,) = [row for row in rows(train(*TOY).metrics) if "train/loss" in row]
    assert {"train/critic_codes", "train/deception", "train/label", "train/kl"} <= row.keys()


def test_a_norm_is_measured_once_for_the_journal_and_for_clipping(train, monkeypatch):
    measured = []

    def spy(gradients, *options):
        measured.append(plain(gradients, *options))
        return measured[-1]

    plain = optimizers.get_total_norm
    monkeypatch.setattr(optimizers, "get_total_norm", spy)
    run = train(*TOY, "training.gradient_clip_val=0.001", "trainer.limit_train_batches=1")
    critic, model, terms = map(float, measured)
    (row,) = [row for row in rows(run.metrics) if "train/loss" in row]
    assert row["train/critic_gradient"] == pytest.approx(critic)
    assert row["train/gradient"] == pytest.approx(math.hypot(model, terms))
    assert min(model, terms) > 0.001  # before any clipping


def test_several_rounds_of_accumulated_batches_are_refused():
    with pytest.raises(ConfigurationError, match=r"training\.rounds=1 would work"):
        build(compose([*SMALL, *TOY, "training.rounds=2", "training.accumulate_grad_batches=2"]))


@pytest.mark.slow
@pytest.mark.parametrize("options", [TOY, []], ids=["critics", "standard"])
def test_two_processes_step_alike_and_share_what_terms_move(tmp_path, script_environment, options):
    extra = [
        "+objective.terms.average._target_=toys.Average", "+callbacks.notes._target_=toys.Notes",
        f"+callbacks.notes.folder={tmp_path}", f"outputs={tmp_path}",
    ]  # fmt: skip
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    forks.run_ranks(ROOT / "scripts/train.py", *SMALL, *two, *options, *extra, env=script_environment)
    one, other = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert one["parameters"] == other["parameters"]
    assert one["mean"] == other["mean"]
    assert one["seen"][-3:] != other["seen"][-3:]
    mean = torch.zeros(16)
    for pair in zip(one["seen"][-3:], other["seen"][-3:], strict=True):
        mean.lerp_(torch.tensor(pair).mean(0), 0.5)
    torch.testing.assert_close(torch.tensor(one["mean"]), mean)
