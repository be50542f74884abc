"""From a configuration to the objects that train: what cannot work is refused here, before a run exists."""

from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from aelab.data.module import DataModule
from aelab.errors import ConfigurationError
from aelab.training.base import Training

# Densities are float32 whatever the weights are: half or double precision throughout makes no sense here.
PRECISIONS = ("32", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Parts:
    """What a configuration describes, apart from where and how it runs."""

    data: DataModule
    training: Training


def build(config: DictConfig) -> Parts:
    """Build and try the parts on two validation images.

    Raises ConfigurationError or DataError where they do not fit together or with the data.
    """
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time alone
    if config.threads:
        torch.set_num_threads(config.threads)
    data = make(config.data)
    data.prepare_data()
    data.setup()
    seed_everything(config.seed, verbose=False)
    training = make(
        config.training,
        model=make(config.model),
        objective=make(config.objective),
        optimizer=make(config.optimizer),
        lr_schedule=make(config.lr_schedule),
    )
    with torch.no_grad():
        training.objective(training.model(data.val_examples(2)), training.model)
    return Parts(data, training)


def make(node: Any, **arguments: Any) -> Any:
    """Instantiate a node of the configuration with plain containers, which checkpoints can hold."""
    return None if node is None else instantiate(node, _convert_="all", **arguments)


def make_trainer(config: DictConfig, **arguments: Any) -> Trainer:
    """The Trainer of a configuration.

    Raises ConfigurationError for hardware or a precision that is not there.
    """
    if config.trainer.accelerator == "gpu" and not torch.accelerator.is_available():
        raise ConfigurationError(
            "trainer.accelerator=gpu, and torch finds no GPU on this machine: choose trainer=cpu"
        )
    precision = str(config.trainer.precision)
    if precision not in PRECISIONS:
        raise ConfigurationError(f"trainer.precision={precision}: choose one of {', '.join(PRECISIONS)}")
    if config.trainer.accelerator == "cpu" and precision == "16-mixed":
        raise ConfigurationError("trainer.precision=16-mixed needs a GPU: on a CPU choose bf16-mixed or 32-true")
    try:
        return make(config.trainer, enable_model_summary=False, **arguments)
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, MisconfigurationException | ValueError):
            raise ConfigurationError(f"{' '.join(str(cause).split())} (in trainer)") from error
        raise
