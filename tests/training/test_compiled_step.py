"""A compiled step computes what the eager step does, and what cannot be compiled stays eager and says so."""

import copy

import pytest
import torch
from small import SMALL

from aelab.config.compose import compose
from aelab.core.errors import ResumeError
from aelab.core.seeds import seed_generators
from aelab.core.signals import Signals
from aelab.loggers.jsonl import rows
from aelab.runs.build import build
from aelab.runs.folder import Run, Status
from aelab.runs.train import resume
from aelab.training import compiled_step
from aelab.training.checkpoints import load

COMPILED = "training.compile=step"
LATER = 3


@pytest.fixture
def traced(monkeypatch):
    """Trace only: the compiler, which takes ten seconds, is torch's own."""
    monkeypatch.setattr(compiled_step, "_compiled", compiled_step._traced)


def built(*overrides, base=SMALL):
    return build(compose([*base, COMPILED, "data.batch_size=32", *overrides]))


def moved(module):
    """With weights other than those that were traced."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def both(parts, step):
    """Values, gradients and buffers, eager and compiled, of another batch than was traced."""
    training, batch = parts.training, next(iter(parts.data.train_dataloader()))
    twin = copy.deepcopy(training)
    seed_generators(1, torch.device("cpu"))
    terms = twin.objective(trace := twin.model(batch, twin.objective.samples, step), twin.model)
    loss = twin.objective.total(terms, trace.step, twin.model)
    loss.backward()
    expected = [
        *terms.values(),
        loss,
        *(p.grad for p in twin.parameters() if p.requires_grad),
        *twin.buffers(),
    ]
    seed_generators(1, torch.device("cpu"))
    values, gradients = training.compiled(batch, step)
    return expected, [*values.values(), *gradients, *training.buffers()]


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective.terms.kl.weight=[ramp,0,4,0.5]"],
        ["network=mlp_normalised", "corruption=masking", "values=dynamic"],
        ["variant=piwae", "posterior=planar"],
        ["variant=cvae", "posterior=low_rank_gaussian", "objective.terms.kl.weight=2"],
        ["variant=gumbel_vae", "objective/penalty=l2"],
    ],
    ids=" ".join,
)
def test_it_computes_what_the_eager_step_computes_at_other_weights_batches_and_steps(traced, overrides):
    parts = built(*overrides)
    assert parts.training.eager is None
    for schedule in parts.training.schedules_of_training():
        schedule.plan(2 * LATER)
    moved(parts.training.model)
    for step in (0, LATER):
        for expected, found in zip(*both(parts, step), strict=True):
            torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)


def test_convolutions_are_laid_out_channels_last_with_their_gradients(traced):
    parts = built(
        "network=conv", "model.encoder.channels=[2,3]", "model.decoder.channels=[2,3]", base=SMALL[:-2]
    )
    (weight,) = [p for n, p in parts.training.named_parameters() if n == "model.encoder.layers.2.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    for expected, found in zip(*both(parts, 0), strict=True):
        torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
    laid_out = compiled_step._laid_out(gradient := torch.randn(3, 2, 3, 3), weight)
    assert laid_out.stride() == weight.stride()
    assert torch.equal(laid_out, gradient)


def test_it_trains_as_the_eager_step_does_with_a_smaller_last_batch(traced, train, monkeypatch):
    calls, serves = [], compiled_step.CompiledStep.serves
    monkeypatch.setattr(
        compiled_step.CompiledStep,
        "serves",
        lambda self, batch: calls.append((len(batch.x), serves(self, batch))) or calls[-1][1],
    )
    overrides = ["trainer.log_every_n_steps=1", "training.gradient_clip_val=1", "lr_schedule=cosine"]
    overrides += ["data.batch_size=500"]
    eager, compiled = train(*overrides), train(*overrides, COMPILED)
    assert calls == [(500, True), (500, True), (200, False)]
    weights = [load(run.checkpoints / "best.ckpt")["state_dict"] for run in (eager, compiled)]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-4)
    for expected, found in zip(rows(eager.metrics), rows(compiled.metrics), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert compiled.read()["eager"] is None


@pytest.mark.parametrize("accumulate", [1, 2])
def test_who_follows_the_backward_pass_is_called(traced, train, monkeypatch, accumulate):
    """Where Lightning's own loop trains, and where batches are accumulated."""
    monkeypatch.setattr("aelab.training.standard.lean_loop", lambda trainer: None)
    overrides = ["trainer.log_every_n_steps=1", f"training.accumulate_grad_batches={accumulate}"]
    eager, compiled = train(*overrides), train(*overrides, COMPILED)
    for expected, found in zip(rows(eager.metrics), rows(compiled.metrics), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_batch_of_another_size_is_stepped_eagerly(traced):
    training = built().training
    assert training.compiled.size == 32
    assert not training.compiled.serves(built("data.batch_size=8").data.train_examples(8))


def test_a_schedule_that_is_not_replaced_is_noticed(traced, monkeypatch):
    monkeypatch.setattr(compiled_step, "_schedules", lambda training: iter(()))
    training = built("objective.terms.kl.weight=[ramp,0,4,0.5]").training
    assert "other numbers" in training.eager
    assert all(schedule.planned is None for schedule in training.schedules_of_training())


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["variant=aae"], "more than one pass"),
        (["variant=ema_vq_vae"], "moves buffers after each step"),
        (["variant=hyperspherical_vae"], "depends on the values of a batch"),
        (["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"], "one process on a CPU"),
    ],
)
def test_what_cannot_be_compiled_stays_eager_and_says_why(traced, capsys, overrides, why):
    training = built(*overrides).training
    assert why in training.eager
    assert training.compiled is None
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said == f"warning: training.compile=step: steps stay eager: {training.eager}"


def test_a_compiler_that_errs_is_not_believed(monkeypatch):
    def wrong(run, inputs):
        right = compiled_step._traced(run, inputs)
        return lambda *given: [1.01 * each for each in right(*given)]

    monkeypatch.setattr(compiled_step, "_compiled", wrong)
    assert "other numbers" in built().training.eager


def test_a_compiler_that_fails_leaves_its_first_line(monkeypatch):
    def none(run, inputs):
        raise RuntimeError("no C++ compiler. Install one\nand so on")

    monkeypatch.setattr(compiled_step, "_compiled", none)
    assert built().training.eager == "RuntimeError: no C++ compiler"


def test_a_run_that_was_compiled_is_not_continued_eagerly(traced, train, monkeypatch):
    run = train("resume_points.every_batches=1", COMPILED)
    run.update(status=Status.KILLED)
    monkeypatch.setattr(compiled_step, "_compiled", None)
    with pytest.raises(ResumeError, match="were compiled, and here they are not"):
        resume(Run.open(run.path), Signals())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_torchs_compiler_comes_to_the_same_numbers(precision, train):
    overrides = [
        "trainer.log_every_n_steps=1",
        "trainer.limit_train_batches=20",
        f"trainer.precision={precision}",
    ]
    eager, compiled = train(*overrides), train(*overrides, COMPILED)
    assert compiled.read()["eager"] is None
    a, b = (run.read()["metrics"] for run in (eager, compiled))
    assert a == pytest.approx(b, rel=1e-4 if precision == "32" else 2e-2)
