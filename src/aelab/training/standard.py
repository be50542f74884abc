"""Training by one optimiser on one objective."""

from aelab.core.records import Batch
from aelab.training.base import Training


class Standard(Training):
    """Forward, backward, step: for every model whose objective has no adversary."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.seed_step(batch_idx)
        step = self.global_step
        trace = self.model(batch, self.objective.samples, step)
        with self.in_float32():
            values = self.objective(trace, self.model)
            loss = self.objective.total(values, step)
        self.manual_backward(loss / self.accumulate if self.accumulate > 1 else loss)
        if self.steps_now(batch_idx):
            self.step_optimizer()
        self.record({**values, "loss": loss}, step + 1, len(batch.x))
