"""From a configuration to the objects that train: what cannot work is refused here, before a run exists."""

import math
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.distributions import constraints

from aelab.cluster.devices import check_accelerator, processes
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.core.memory import MOST_CALLS, enough_memory
from aelab.core.records import Batch
from aelab.core.text import sentence
from aelab.data.module import DataModule
from aelab.data.preloaded import preload, with_preloaded
from aelab.metrics.estimands import estimands
from aelab.models import Autoencoder
from aelab.runs.data import check_same_data
from aelab.runs.model import fitted, take_over
from aelab.training.base import Training
from aelab.training.callbacks.pictures import pictures
from aelab.training.loop import EpochLoop
from aelab.training.matmul import choose_matmul

# Densities are float32 whatever the weights are: half or double precision throughout makes no sense here.
PRECISIONS = ("32", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Parts:
    """What a configuration describes, apart from where and how it runs.

    flops_per_image: of a training step, forward and backward, at its start; None where encoder and decoder
        are compiled, which hides their products.
    """

    data: DataModule
    training: Training
    flops_per_image: int | None


def build(config: DictConfig, data: DataModule | None = None, resumes: bool = False) -> Parts:
    """Build the parts and try them on two validation observations; data: where these are in memory already.

    resumes: whether a checkpoint will give all weights, so that none are taken from `start.run`.
    Raises ConfigurationError or DataError where they do not fit together or with the data, and RunError where
    the weights that a training starts from are not there.
    """
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time alone
    if config.threads:
        torch.set_num_threads(config.threads)
    data = data_module(config) if data is None else data
    data.prepare_data()
    data.setup()
    if not 0 <= config.seed < 2**32:
        raise ConfigurationError(f"seed={config.seed}: a seed lies between 0 and {2**32 - 1}")
    seed_everything(config.seed, verbose=False)
    with enough_memory():
        training = _training(config, data)
    model = training.model
    _start(config, training, data, resumes)
    if training.model.follows_gradient and config.trainer.inference_mode:
        raise ConfigurationError(
            "structure=hamiltonian follows a gradient at validation too: leave out trainer.inference_mode"
        )
    if isinstance(config.trainer.strategy, DictConfig):
        _check_shards(config, training)
    choose_matmul(training.model, data.batch_size)
    if model.conditioner is not None:
        for split in ("train", "val", "test"):
            model.conditioner.check(data.known(split))
    examples = data.val_examples(2)
    hidden = config.training.compile == "networks"
    # What is written place by place, as a wave, takes as many steps as it has places.
    calls = math.inf if model.likelihood.drawn else MOST_CALLS
    with nullcontext() if hidden else enough_memory(calls):
        _check_support(model, data, examples)
        two = _try(training, examples, config.monitor.metric)
    _draw(training.model, data, examples)
    if config.training.compile == "step":
        _compile(config, training, data)
    return Parts(data, training, None if hidden else _flops_per_image(two, training, data))


def _training(config: DictConfig, data: DataModule) -> Training:
    """The model and how it is trained."""
    model = construct(config.model, "model")
    model.fitted = fitted(config.objective)
    asked = (model.units, data.kind, data.values.bits, model.codes, model.fitted)
    made: Training = construct(
        config.training,
        "training",
        model=model,
        objective=construct(config.objective, "objective", sizes=model.sizes),
        optimizer=construct(config.optimizer, "optimizer"),
        lr_schedule=construct(config.lr_schedule, "lr_schedule"),
        measures=partial(estimands, *asked),
    )
    return made


def _start(config: DictConfig, training: Training, data: DataModule, resumes: bool) -> None:
    """Give a training what it begins from, of its data and of `start.run`, and freeze what stays so."""
    model, prior = training.model, training.model.prior
    if prior is not None and prior.examples:
        prior.initialise(data.train_examples(prior.examples).x)
    if not resumes:
        take_over(model, training.objective, config.start)
    model.freeze(config.start.frozen)
    if training.of_same_data and config.start.run is not None:
        check_same_data(config, data)
    if not resumes:
        training.begin(data.train_examples, processes(config.trainer))


def data_module(config: DictConfig) -> DataModule:
    """The data module of a configuration, over its preloaded data where there are some."""
    return with_preloaded(_plain(config.data), construct(config.data, "data"))


def preload_data(config: DictConfig) -> None:
    """Read a configuration's data once for it and all that read the same ones."""
    preload(_plain(config.data), construct(config.data, "data"))


def _plain(node: DictConfig) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(node)
    return found


def _check_shards(config: DictConfig, training: Training) -> None:
    """Refuse with `trainer=fsdp` what reads weights or gradients whole."""
    nodes = (config.get("callbacks") or {}).items()
    callbacks = [construct(node, f"callbacks.{name}") for name, node in nodes]
    refused = {
        "structure=hamiltonian": training.model.follows_gradient,
        "callback=ema": any(isinstance(callback, WeightAveraging) for callback in callbacks),
        "objective/penalty": any(not term.reads_codes for term in training.objective.terms.values()),
        "an objective with parameters of its own": len(training.groups()) > 1,
        "a codebook, which moves after each step,": training.followers,
        "training.gradient_clip_val": training.clip,
        "training.compile": config.training.compile,
        "trainer.inference_mode": config.trainer.inference_mode,
        "trainer.precision": str(config.trainer.precision) not in ("32", "32-true"),
    }
    for option, given in refused.items():
        if given:
            raise ConfigurationError(
                f"{option} needs weights or gradients whole, and trainer=fsdp has a part of them in each "
                "process: leave it out, or choose trainer=ddp"
            )


@torch.no_grad()
def _check_support(model: Autoencoder, data: DataModule, batch: Batch) -> None:
    """Refuse a likelihood that is of other values than the data may have."""
    if model.corruption is not None and not data.kind.measurable:
        raise ConfigurationError(
            f"values of {data.kind.nouns} are names, to which no noise is added: choose corruption=none"
        )
    model.eval()  # nothing may move buffers
    likelihood = model(batch).likelihood
    model.train()
    if not data.kind.describes(likelihood):
        raise ConfigurationError(
            f"the likelihood is not of {data.kind.nouns}, which {data.name} holds: leave it as "
            f"data={data.name} chooses it"
        )
    if not data.kind.measurable:
        return
    counts = likelihood.support is constraints.nonnegative_integer
    if counts or data.values.whole:
        if counts and not data.values.whole:
            raise ConfigurationError(
                f"the likelihood is of counts, whole numbers from 0, and {data.kind.nouns} of {data.name} "
                "hold other values: data=counts or cells, or values=counts, would work"
            )
        return
    ends = (torch.full_like(batch.x, end) for end in data.bounds or (-0.5, 1.5))
    if not all(bool(likelihood.support.check(x).all()) for x in ends):
        has = "any real numbers" if data.bounds is None else f"numbers in {list(data.bounds)}"
        raise ConfigurationError(
            f"the likelihood is of values in [0, 1], and {data.kind.nouns} of {data.name} hold {has}: "
            "likelihood=gaussian or student_t would work"
        )


@torch.no_grad()
def _draw(model: Autoencoder, data: DataModule, batch: Batch) -> None:
    """Draw each picture once, small, so that what cannot be shown is refused."""
    model.eval()
    for _ in pictures(model, data.kind, batch, 2, data.class_names):
        pass
    model.train()


def _try(training: Training, batch: Batch, monitor: str | None) -> int:
    """Optimise, train and measure once; the floating-point operations of the training step."""
    training.make_optimizers()
    flops = training.rehearse(batch)
    names = measured(training, batch)
    if monitor is not None and monitor not in names:
        raise ConfigurationError(
            f"monitor.metric={monitor} is not measured for this model: choose one of {', '.join(names)}, or "
            "null to keep the last weights"
        )
    if training.make_lr_schedule:
        try:
            training.make_lr_schedule(steps=1)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{sentence(error)} (in lr_schedule)") from error
    return flops


def _compile(config: DictConfig, training: Training, data: DataModule) -> None:
    """Compile the step in the run's precision and compare it with the eager one, or say why it stays so."""
    elsewhere = config.trainer.accelerator != "cpu" and torch.accelerator.is_available()
    if elsewhere or processes(config.trainer) > 1:
        training.eager = "steps are compiled for one process on a CPU"
    else:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.trainer.precision == "bf16-mixed"):
            training.compile_step(data.train_examples(data.batch_size))
    if training.eager:
        print(f"warning: training.compile=step: steps stay eager: {training.eager}", file=sys.stderr)


def measured(training: Training, batch: Batch) -> list[str]:
    """The names of all numbers that are measured at a validation."""
    training.eval()
    measure = training.measures["val"].clone()
    with torch.no_grad():
        measure.update(training.model(batch))
    training.train()
    return [f"val/{name}" for name in (*measure.compute(), *(q.name for q in training.of_samples))]


def _flops_per_image(two: int, training: Training, data: DataModule) -> int:
    """An image's part of a step on a whole batch, from the steps on two images and on four.

    What a step does once, however many images it has, as to encode a VampPrior's pseudo-inputs, is shared.
    """
    four = data.val_examples(4)
    more = len(four.x) - 2
    each = (training.rehearse(four) - two) // more if more > 0 else two // 2
    return each + (two - 2 * each) // data.batch_size


def lightning_part(node: Any, key: str, **arguments: Any) -> Any:
    """The object of a node, as `construct` makes it; ConfigurationError also for what Lightning refuses."""
    try:
        return construct(node, key, **arguments)
    except MisconfigurationException as error:
        raise ConfigurationError(" ".join([sentence(error), *error.__notes__])) from error


def make_trainer(config: DictConfig, **arguments: Any) -> Trainer:
    """The Trainer of a configuration.

    Raises ConfigurationError for hardware or a precision that is not there, and for no training at all.
    """
    chosen, precision = config.trainer, str(config.trainer.precision)
    check_accelerator(chosen)
    processes(chosen)
    if precision not in PRECISIONS:
        raise ConfigurationError(f"trainer.precision={precision}: choose one of {', '.join(PRECISIONS)}")
    if chosen.accelerator == "cpu" and precision == "16-mixed":
        raise ConfigurationError("trainer.precision=16-mixed needs a GPU: on a CPU choose bf16-mixed")
    if 0 in (chosen.max_epochs, chosen.max_steps, chosen.limit_train_batches):
        raise ConfigurationError(
            "nothing would be trained: trainer.max_epochs, max_steps and limit_train_batches must not be 0"
        )
    return EpochLoop.install(lightning_part(chosen, "trainer", enable_model_summary=False, **arguments))
