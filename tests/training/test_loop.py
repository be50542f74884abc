"""The lean loop leaves nothing behind that Lightning's own would not, and steps aside where it could."""

import hashlib
import inspect

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.loops.optimization.manual import _ManualOptimization
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.trainer import call
from pytorch_lightning.trainer.connectors.logger_connector.logger_connector import _LoggerConnector

from aelab.runs import fit as session
from aelab.training import loop
from aelab.training.base import Training
from aelab.training.callbacks.progress import Bar
from aelab.training.checkpoints import load
from aelab.training.loop import EpochLoop, lean_loop

EVERYTHING = ["resume_points.every_batches=1", "resume_points.keep=99", "trainer.log_every_n_steps=2"]
CASES = {
    "plain": [],
    "average": ["callback=ema", "callbacks.ema.decay=0.5"],
    "accumulation": ["training.accumulate_grad_batches=2", "lr_schedule=cosine", "trainer.max_epochs=2"],
    "validation within the epoch": ["trainer.limit_train_batches=6", "trainer.val_check_interval=2"],
    "validation across epochs": [
        "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=2", "trainer.max_epochs=3",
    ],
    "early stopping": [
        "callback=early_stopping", "callbacks.early_stopping.patience=1", "optimizer=sgd",
        "optimizer.lr=1e-12", "trainer.max_epochs=9", "trainer.val_check_interval=2",
    ],
    "max_steps": ["trainer.max_steps=5", "trainer.max_epochs=9"],
    "whole epochs": ["trainer.limit_train_batches=1.0", "trainer.max_epochs=2", "values=dynamic"],
    "clipping": ["training.gradient_clip_val=0.1"],
    "bfloat16": ["trainer.precision=bf16-mixed"],
    "labels": ["variant=cvae", "corruption=masking"],
}  # fmt: skip


class Spy(Callback):
    """Writes down what a callback can see; logs by Lightning's own means if asked to."""

    def __init__(self, logs=False):
        self.seen, self.lean, self.logs = [], set(), logs

    def see(self, hook, trainer, module, *args):
        epoch = trainer.fit_loop.epoch_loop
        self.lean.add(lean_loop(trainer) is not None)
        if self.logs:
            module.log(f"{hook}_logged", float(trainer.global_step), on_epoch=True)
        seen = hook, args, trainer.fit_loop.state_dict(), epoch._batches_that_stepped, module._current_fx_name
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        self.seen.append((*seen, trainer.global_step, trainer.is_last_batch, trainer.should_stop, metrics))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.see("on_train_batch_start", trainer, pl_module, batch, batch_idx)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.see("on_train_batch_end", trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_epoch_start(self, trainer, pl_module):
        self.see("on_validation_epoch_start", trainer, pl_module)

    def on_train_epoch_end(self, trainer, pl_module):
        self.see("on_train_epoch_end", trainer, pl_module)


@pytest.fixture
def watched(train, monkeypatch):
    """Train with a callback: the run's folder, and all that the callback saw."""

    def run(*overrides, callback, lean=True):
        with monkeypatch.context() as patch:
            patch.setattr(Training, "configure_callbacks", lambda self: [callback])
            if not lean:
                patch.setattr(EpochLoop, "install", lambda trainer: trainer)
            return train(*overrides)

    return run


def differences(a, b, where=""):
    """The places at which two nested containers differ."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [d for k in a for d in differences(a[k], b[k], f"{where}/{k}")]
    if isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b):
        return [d for i in range(len(a)) for d in differences(a[i], b[i], f"{where}/{i}")]
    equal = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    return [] if equal else [f"{where}: {a} and {b}"]


def left_behind(run):
    """Every checkpoint of a run, apart from paths and times, and every number that it logged."""
    points = {path.name: load(path) for path in run.checkpoints.glob("*.ckpt")}
    for point in points.values():
        point["callbacks"] = {k: v for k, v in point["callbacks"].items() if not k.startswith("Best")}
        del point["callbacks"]["ResumePoints"]["journal"]["timing.jsonl"]
    return points, run.metrics.read_bytes(), run.read()["metrics"]


@pytest.mark.parametrize("overrides", CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    "logs", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["silent", "self.log"]
)
def test_a_lean_run_is_lightnings_to_the_bit(watched, overrides, logs):
    lean, own = Spy(logs), Spy(logs)
    a = watched(*EVERYTHING, *overrides, callback=lean)
    b = watched(*EVERYTHING, *overrides, callback=own, lean=False)
    assert (lean.lean, own.lean) == ({True}, {False})
    assert not differences(lean.seen, own.seen)
    assert not differences(left_behind(a), left_behind(b))


class Watched(Bar):
    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_train_batch_end(self, *arguments):
        self.looked = 0.0
        super().on_train_batch_end(*arguments)
        self.drawn.append(self.bar.tasks[0].completed)


def test_a_bar_is_drawn_as_by_lightning(watched, monkeypatch):
    bars = Watched(), Watched()
    for bar, lean in zip(bars, (True, False), strict=True):
        monkeypatch.setattr(session, "progress", lambda terminal, bar=bar: bar)
        watched("trainer.val_check_interval=2", callback=Spy(), lean=lean)
    assert bars[0].drawn == bars[1].drawn
    assert bars[0].drawn == [1, 2, 3]


@pytest.mark.parametrize("hook", ["on_before_backward", "on_after_backward", "on_before_optimizer_step"])
def test_a_callbacks_hook_within_the_step_is_called(watched, hook):
    class Counts(Spy):
        called = 0

    def count(self, *args):
        self.called += 1

    setattr(Counts, hook, count)
    callback = Counts()
    watched(callback=callback)
    assert (callback.called, callback.lean) == (3, {False})


def test_a_hook_that_belongs_to_the_instance_is_called(watched):
    callback, batches = Callback(), []
    callback.on_train_batch_start = lambda trainer, module, batch, batch_idx: batches.append(batch_idx)
    watched(callback=callback)
    assert batches == [0, 1, 2]


def test_a_module_may_still_end_the_epoch(watched, monkeypatch):
    monkeypatch.setattr(Training, "on_train_batch_start", lambda self, batch, i: -1 if i == 2 else None)
    spy = Spy()
    watched(callback=spy)
    assert [s[0] for s in spy.seen].count("on_train_batch_end") == 2


def test_an_unknown_lightning_is_left_alone(watched, monkeypatch):
    monkeypatch.setattr(loop, "VERSION", "1.")
    spy = Spy()
    watched(callback=spy)
    assert spy.lean == {False}


def test_this_is_the_lightning_that_was_read():
    """Whoever changes the digest has compared `EpochLoop` with the new `_TrainingEpochLoop`."""
    read = [
        _TrainingEpochLoop.run, _TrainingEpochLoop.on_run_start, _TrainingEpochLoop.advance,
        _TrainingEpochLoop.on_advance_end, _TrainingEpochLoop._should_check_val_fx, _ManualOptimization,
        LightningOptimizer.step, Precision, Strategy.training_step, call._call_strategy_hook,
        _LoggerConnector.on_batch_start,
    ]  # fmt: skip
    source = "".join(map(inspect.getsource, read))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == "3bacad2dc63198c3"
