"""Critics of conf/critic in training: whose gradient is whose, and what makes no sense is refused."""

import pytest
import torch
from small import SMALL
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.config.folders import choices
from aelab.core.errors import AelabError, ConfigurationError
from aelab.core.signals import Signals
from aelab.runs.build import build
from aelab.runs.folder import Run, RunFolder
from aelab.runs.train import resume
from aelab.training.adversarial import Adversarial
from aelab.training.base import Training
from aelab.training.checkpoints import load, resume_points

GAN = [*(option for option in SMALL if "encoder" not in option), "variant=gan"]
LOSSES = [f"critic/loss={loss}" for loss in choices("critic/loss") if loss != "equilibrium"]
PENALTIES = [f"critic/penalty={penalty}" for penalty in choices("critic/penalty")]


def own(cost, parameters):
    """The gradient of a cost by the parameters; 0 where it reads none of them."""
    return torch.autograd.grad(cost, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)


def _same(one, other):
    return one is other is None or (one is not None and other is not None and one.equal(other))


def recorded(monkeypatch):
    """What each backward pass left, and what the cost's own derivative is."""
    seen = []

    def backward(self, cost, parameters):
        before = {p: None if p.grad is None else p.grad.clone() for p in self.parameters()}
        wanted = own(cost, parameters)
        plain(self, cost, parameters)
        rest = [p for p in self.parameters() if not any(p is q for q in parameters)]
        untouched = all(
            (p.grad is None) == (before[p] is None) and (p.grad is None or p.grad.equal(before[p]))
            for p in rest
        )
        found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
        seen.append((found, wanted, untouched))

    plain = Adversarial._backward
    monkeypatch.setattr(Adversarial, "_backward", backward)
    return seen


@pytest.mark.parametrize("critic", choices("critic"))
def test_each_side_is_stepped_by_the_gradient_of_its_own_cost_alone(train, monkeypatch, critic):
    seen = recorded(monkeypatch)
    train(f"critic=[{critic}]", "trainer.limit_train_batches=2")
    assert len(seen) == 4  # critic and model in two batches
    for found, wanted, untouched in seen:
        assert untouched
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other)
    for found, _, _ in seen[1::2]:
        assert any(gradient.any() for gradient in found)


@pytest.mark.parametrize("option", [*LOSSES, *PENALTIES, "critic/augmentation=differentiable"])
def test_every_loss_and_penalty_trains_and_none_but_its_owner_moves(train, monkeypatch, option):
    seen = recorded(monkeypatch)
    run = train(option, "trainer.limit_train_batches=2", base=GAN)
    assert all(untouched for _, _, untouched in seen)
    assert run.status == "finished"


def test_the_encoder_pays_for_reconstructions_only_where_it_is_told_to():
    def reached(option):
        training = build(compose([*SMALL, "critic=[reconstructions]", *option])).training
        trace = training.model(build(compose(SMALL)).data.val_examples(8))
        cost = training.objective(trace, training.model)["reconstructions"]
        return [any(g.any() for g in own(cost, list(part.parameters())))
                for part in (training.model.encoder, training.model.decoder)]  # fmt: skip

    assert reached([]) == [False, True]
    assert reached(["objective.critics.reconstructions.compares.to_encoder=true"]) == [True, True]


def test_accumulated_batches_give_the_mean_gradient_and_one_step(train, monkeypatch):
    sums = []

    def spy(self, optimizer):
        sums.append([p.grad.clone() for p in optimizer.param_groups[0]["params"]])
        plain(self, optimizer)

    plain = Training.on_before_optimizer_step
    monkeypatch.setattr(Training, "on_before_optimizer_step", spy)
    seen = recorded(monkeypatch)
    run = train("critic=[codes]", "trainer.limit_train_batches=2", "training.accumulate_grad_batches=2")
    assert len(sums) == 2
    for stepped, (first, second) in zip(sums, (seen[0::2], seen[1::2]), strict=True):
        for gradient, one, other in zip(stepped, first[1], second[1], strict=True):
            assert_close(gradient, (one + other) / 128)  # of sums over 64 images each
    assert load(resume_points(run.checkpoints)[0])["global_step"] == 1


def test_each_critic_has_an_optimiser_and_a_schedule_of_its_own(train):
    run = train(
        "critic=[codes,samples]", "+optimizer@training.optimizers.critics=sgd",
        "+optimizer@training.optimizers.codes=adam", "training.optimizers.codes.lr=0.5",
        "+lr_schedule@training.lr_schedules.samples=cosine",
    )  # fmt: skip
    model, codes, samples = load(resume_points(run.checkpoints)[0])["optimizer_states"]
    rates = [state["param_groups"][0]["lr"] for state in (model, codes, samples)]
    assert rates[:2] == [1e-3, 0.5]
    assert rates[2] < samples["param_groups"][0]["initial_lr"]
    assert "momentum" in samples["param_groups"][0]
    assert "betas" in codes["param_groups"][0]


@pytest.mark.parametrize("option", ["critic/penalty=spectral_norm", "variant=began"])
def test_a_kill_between_two_steps_keeps_what_critics_hold_beside_their_weights(
    train, tmp_path, monkeypatch, option
):
    options = [option, "callback=ema", "resume_points.every_batches=1", "resume_points.keep=99",
               "trainer.limit_train_batches=6", "training.rounds=2"]  # fmt: skip
    whole = train(*options, base=GAN)

    def dies(self, trace):
        if trace.step == 4:
            raise KeyboardInterrupt
        return costs(self, trace)

    costs = Training.costs
    with monkeypatch.context() as patch:
        patch.setattr(Training, "costs", dies)
        with pytest.raises(SystemExit):
            train(*options, base=GAN)
    (killed,) = {record.parent for record in tmp_path.rglob("record.json")} - {whole.path}
    resume(Run.open(killed), Signals())
    one, other = (load(resume_points(run.checkpoints)[0]) for run in (whole, RunFolder(killed)))
    held = [name for name in one["state_dict"] if name.endswith(("_u", "_v", "loss.k"))]
    assert held
    for name, value in one["state_dict"].items():
        assert value.equal(other["state_dict"][name]), name
    assert str(one["optimizer_states"]) == str(other["optimizer_states"])
    assert (killed / "metrics.jsonl").read_bytes() == whole.metrics.read_bytes()


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["critic/loss=hinge"], "chosen of no critic"),
        (["training=adversarial"], r"add critic=\[samples\]"),
        (["critic=[codes]", "training=standard"], "choose training=adversarial"),
        (["critic=[codes]", "objective.terms.codes.critic=images"], "objective.critics has codes"),
        (["critic=[codes]", "~objective.terms.codes"], "trained for nothing"),
        (["critic=[codes]", "training.rounds=0"], "rounds=0"),
        (["critic=[codes]", "training.rounds=1.5"], "rounds=1.5: a whole number"),
        (["critic=[codes]", "training.accumulate_grad_batches=1.5"], "batches=1.5: a whole number"),
        (["critic=[codes]", "posterior=none"], "a variant with an encoder"),
        (["critic=[codes,images]"], "unknown critic 'images'; there are categories"),
        (["critic=[codes]", "objective.critics.codes.compares=null"], "compares=null"),
        (["critic=[codes]", "critic.network.trunk.widths=[0]"], "1 number or more"),
        (["variant=vq_gan", "objective.terms.reconstructions.like=images"], "like=images is no term"),
        (
            ["critic=[samples]", "critic/augmentation=differentiable", "critic.augmentation.probability=2"],
            "between 0 and 1",
        ),
        (["variant=ae", "critic=[codes]"], "choose prior=standard_normal"),
        (["variant=ae", "critic=[samples]"], "choose prior=standard_normal"),
        (["critic=[codes]", "critic/network=conv"], "network=mlp"),
        (["critic=[codes]", "critic/augmentation=differentiable"], "augmentation=none"),
        (["variant=began", "critic/penalty=r1"], "critic/penalty=none"),
        (["critic=[codes]", "critic.network.projection=true"], "condition=label"),
        (["critic=[codes]", "+lr_schedule@training.lr_schedules.images=cosine"], "is of no critic"),
        (["critic=[codes]", "trainer.precision=16-mixed"], "GPU|bf16-mixed"),
        (["objective=none"], "objective.terms is empty"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_before_training(train, tmp_path, overrides, sentence):
    base = [option for option in SMALL if "encoder" not in option]
    with pytest.raises(AelabError, match=sentence) as refusal:
        train(*overrides, base=base)
    assert len(str(refusal.value).splitlines()) == 1
    assert isinstance(refusal.value, ConfigurationError)
    assert not list(tmp_path.rglob("record.json"))
