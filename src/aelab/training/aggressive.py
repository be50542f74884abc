"""Training in which inference keeps up with the model: several steps of its own for each of the rest's."""

from typing import Any

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Batch, Trace
from aelab.core.seeds import seed_generators, step_seed
from aelab.metrics.rate import rate_parts
from aelab.training.standard import Standard


class Aggressive(Standard):
    """As `Standard`, but that decoder, likelihood and prior step with each `rounds`-th batch alone, for as
    long as the mutual information of validation observations and their codes climbs (He et al. 2019,
    https://arxiv.org/abs/1901.05534, whose rounds end where the bound no longer rises).

        batch ──▶ backward ──▶ encoder, posterior step                          each step
                          └──▶ decoder, likelihood, prior step       each `rounds`-th, later each step too
        validation ──▶ I(x; z) ──▶ not above the best so far: from now on as `Standard`

    examples: of validation, over which the mutual information is; it is at most log of their number.
    Raises ConfigurationError for a model without a posterior of its own, or one that knows no density.
    """

    def __init__(self, rounds: int = 10, examples: int = 500, **options: Any) -> None:
        super().__init__(**options)
        if rounds < 1 or examples < 2:
            raise ConfigurationError(
                f"training.rounds={rounds}, training.examples={examples}: at least 1, and 2"
            )
        if self.model.posterior is None or not self.model.separable:
            raise ConfigurationError(
                "training=aggressive steps encoder and posterior apart from the rest, and this model has "
                "none that are apart: choose posterior=diagonal_gaussian with structure=plain"
            )
        if options.get("compile") == "step":
            raise ConfigurationError(
                "training.compile=step compiles one and the same step, and those of training=aggressive "
                "differ: choose training.compile=null"
            )
        self.rounds, self.examples = rounds, examples
        self.climbing, self.best = True, 0.0

    def eager_pass(self, batch: Batch, step: int) -> tuple[Trace, dict[str, Tensor]]:
        found = super().eager_pass(batch, step)
        if self.climbing and (step + 1) % self.rounds:
            for part in (self.model.decoder, self.model.likelihood, self.model.prior):
                for parameter in () if part is None else part.parameters():
                    parameter.grad = None
        return found

    def rehearse(self, batch: Batch) -> int:
        try:
            with self._values_kept():
                self.information(batch)
        except InapplicableError as error:
            raise ConfigurationError(
                f"training=aggressive follows the mutual information, and {error}: choose "
                "posterior=diagonal_gaussian, or training=standard"
            ) from error
        return super().rehearse(batch)

    @torch.no_grad()
    def information(self, batch: Batch) -> float:
        """The mutual information of observations and their codes, in nats, with q(z) their own mean."""
        seed_generators(step_seed(self.seed, "information"), self.device)
        trace = self.model(batch, step=0)
        with self.in_float32():
            return float(rate_parts(lambda: [trace], len(batch.x))["mutual_information"].mean())

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        if self.climbing:
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            examples = data.val_examples(self.examples).map(lambda value: value.to(self.device))
            self.follow_information(self.information(examples))

    def follow_information(self, nats: float) -> None:
        """Go on as before where it is above the best so far, and as `Standard` for good where it is not."""
        self.climbing, self.best = nats > self.best, max(nats, self.best)
        self.log_values({"val/information": nats, "train/aggressive": float(self.climbing)})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["aggressive"] = {"climbing": self.climbing, "best": self.best}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        kept = checkpoint["aggressive"]
        self.climbing, self.best = kept["climbing"], kept["best"]
