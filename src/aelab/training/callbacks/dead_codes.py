"""A warning while training where much of a codebook, or of a sparse code, stands for nothing."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from aelab.metrics.units import ACTIVE_UNITS
from aelab.models.posteriors import Sparse
from aelab.training.callbacks.alarms import raise_alarm

ALIVE = 0.5  # of the units, below which there is a warning


class DeadCodes(Callback):
    """Says after a validation, once until it is mended, that fewer than half of the entries of a codebook or
    of the units of a sparse code are in use; `val/active_units` has how many are."""

    def __init__(self) -> None:
        self.told = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model: Any = pl_module.model
        used = trainer.callback_metrics.get(f"val/{ACTIVE_UNITS.name}")
        what = _mortal(model)
        if what is None or used is None or trainer.sanity_checking or not trainer.is_global_zero:
            return
        few = used.item() < ALIVE * model.units
        if few and not self.told:
            raise_alarm(trainer, "dead_codes", f"{model.units - int(used)} of {model.units} {what}")
        self.told = few


def _mortal(model: Any) -> str | None:
    """What of the model may fall out of use, and what would help; None where nothing may."""
    if model.codes is not None:
        return (
            "codebook entries are not in use: a higher objective.terms.codebook.least begins more anew, or "
            "give fewer codes"
        )
    if isinstance(model.posterior, Sparse):
        return (
            "sparse units are not in use: objective=revived with a higher objective.terms.revival.weight "
            "draws more of them in, or give a lower latent"
        )
    return None
