"""Progress where there is no terminal: one plain line for each validation."""

import time

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback, RichProgressBar
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from aelab.training.measured import epoch_of


class Lines(Callback):
    """Prints epoch, step, the validation's numbers and the elapsed time, at most once a second."""

    def __init__(self) -> None:
        self.started = self.printed = time.monotonic()

    @rank_zero_only
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = epoch_of(trainer) + 1
        last = epoch == trainer.max_epochs
        if time.monotonic() - self.printed < 1 and not last:
            return
        self.printed = time.monotonic()
        values = {k: v for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        epochs = f"{epoch}/{trainer.max_epochs}" if (trainer.max_epochs or -1) > 0 else f"{epoch}"
        elapsed = time.monotonic() - self.started
        print(f"epoch {epochs}  step {trainer.global_step}  {shown}  {elapsed:.0f} s", flush=True)


def progress(terminal: bool) -> Callback:
    """A rich bar, drawn a few times a second, on a terminal; plain lines elsewhere."""
    return RichProgressBar(refresh_rate=20, leave=False) if terminal else Lines()
