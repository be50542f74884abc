"""Training by one optimiser on one objective."""

from torch import Tensor

from aelab.records import Batch
from aelab.training.base import Training


class Standard(Training):
    """Forward, backward, step: for every model whose objective has no adversary."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.seed_step(batch_idx)
        values, loss = self.cost(batch)
        self.manual_backward(loss / self.accumulate if self.accumulate > 1 else loss)
        if self.steps_now(batch_idx):
            self.step_optimizer()
        self.record({**values, "loss": loss}, len(batch.x))

    def cost(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The objective's terms and their weighted sum, in nats per sample."""
        values = self.objective(self.model(batch, self.objective.samples), self.model)
        return values, self.objective.total(values, self.global_step)
