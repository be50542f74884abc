"""What trackers are shown of codes after each validation: the KL by dimension, and how codes are spread."""

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from aelab.core.errors import InapplicableError
from aelab.core.seeds import seed_generators, step_seed
from aelab.loggers import trackers
from aelab.metrics.rate import kl_per_dimension
from aelab.models.distributions.divergence import space

COUNT = 500  # validation observations
MOST = 32  # dimensions that have a curve of their own


class Codes(Callback):
    """Shows trackers `codes/means` and `codes/kl_per_dimension` as histograms, `codes/kl_0`, ... as curves.

    The journal has none of it: a model can be asked again.
    """

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module.model
        views = trackers(trainer.loggers)
        if not views or trainer.sanity_checking or not trainer.is_global_zero or model.encoder is None:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        seed: Any = pl_module.seed
        seed_generators(step_seed(seed, "codes"), pl_module.device)
        trace = model(data.val_examples(COUNT).map(lambda value: value.to(pl_module.device)))
        if trace.posterior is None or space(trace.posterior) != "real":
            return
        shown = {"codes/means": trace.posterior.mean.flatten()}
        try:
            kl = kl_per_dimension(trace).mean(0).cpu()
            shown["codes/kl_per_dimension"] = kl
            curves = {f"codes/kl_{unit}": float(value) for unit, value in enumerate(kl[:MOST])}
        except InapplicableError:
            curves = {}
        for view in views:
            view.log_metrics(curves, trainer.global_step)
            for name, values in shown.items():
                view.log_histogram(name, values.float().cpu().numpy(), trainer.global_step)
