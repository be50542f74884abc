"""The negative log-likelihood of the test images, by importance sampling with the kept weights."""

import sys
from itertools import islice
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from tqdm import tqdm

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.core.seeds import seed_generators, step_seed
from aelab.metrics.importance import (
    NLL,
    NLL_EFFECTIVE_SAMPLES,
    NLL_STANDARD_ERROR,
    importance_sampled,
    log_evidence,
)
from aelab.models import Autoencoder


class ImportanceSampling(Callback):
    """Measures `test/nll` in nats for each image, its standard error over images, and the effective number of
    the `samples` codes.

    images: so many of the test split; None: all.
    memory: bytes that decoded codes may take at once; None: what is fast on the device.
    """

    def __init__(self, samples: int = 5000, images: int | None = None, memory: float | None = None) -> None:
        if samples < 1 or (images is not None and images < 1) or not (memory is None or memory > 0):
            raise ConfigurationError(
                "callbacks.importance_sampling: samples, images and memory must be above 0"
            )
        self.samples, self.images, self.memory = samples, images, memory

    @torch.no_grad()
    def check(self, model: Autoencoder, batch: Batch) -> None:
        """Refuse a model whose codes have no density, before it is trained."""
        model.eval()
        try:
            log_evidence([model(batch)])
        except ConfigurationError as error:
            raise ConfigurationError(
                "callback=importance_sampling weighs codes by densities that this model does not have: "
                "choose posterior=diagonal_gaussian with prior=standard_normal, or leave the callback out"
            ) from error
        finally:
            model.train()

    @torch.no_grad()
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sums = torch.zeros(4, dtype=torch.float64, device=pl_module.device)
        loader = trainer.datamodule.test_dataloader()  # type: ignore[attr-defined]
        # The same batches as the other test metrics see.
        batches = islice(loader, int(trainer.num_test_batches[0]))
        for batch_idx, batch in enumerate(tqdm(batches, "nll", disable=None, leave=False)):
            index = batch_idx * trainer.world_size + trainer.global_rank
            wanted = max(0, (self.images or sys.maxsize) - index * loader.batch_size)
            kept = _rows(batch, slice(0, wanted))
            if len(kept.x):
                sums += self._sums(pl_module, kept, index)
        count, nll, square, effective = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        variance = max(0.0, square / count - (nll / count) ** 2)
        values = {
            NLL: nll / count,
            NLL_STANDARD_ERROR: (variance / max(1.0, count - 1)) ** 0.5,
            NLL_EFFECTIVE_SAMPLES: effective / count,
        }
        pl_module.log_measured("test", values)  # type: ignore[operator]

    def _sums(self, module: LightningModule, batch: Batch, index: int) -> Tensor:
        """Over a batch: the number of images, nll, its square, the effective number of codes."""
        model: Any = module.model
        seed_generators(step_seed(module.seed, "importance", batch=index), module.device)  # type: ignore[arg-type]
        log_p, effective = importance_sampled(model, batch, self.samples, self.memory, module.global_step)
        count = torch.tensor(float(len(log_p))).to(log_p)
        return torch.stack([count, -log_p.sum(), log_p.square().sum(), effective.sum()])


def _rows(batch: Batch, rows: slice) -> Batch:
    return batch.map(lambda value: value[rows])
