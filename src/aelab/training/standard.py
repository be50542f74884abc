"""Training by one backward pass of one objective."""

from typing import Any

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.training.base import Training


class Standard(Training):
    """Forward, backward, step: for every model whose objective has no adversary.

    Raises ConfigurationError for an objective with critics.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.objective.critics:
            raise ConfigurationError("training=standard trains no critics: choose training=adversarial")

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.seed_step(batch_idx)
        step = self.global_step
        trace = self.model(batch, self.objective.samples, step)
        values, loss = self.costs(trace)
        self.manual_backward(self.summed(loss, batch))
        steps = self.steps_now(batch_idx)
        self.take_means(batch, steps)
        if steps:
            self.watch_gradients()
            self.step_optimizer(trace)
        self.record({**values, "loss": loss}, step + 1, len(batch.x))

    def differentiate(self, trace: Trace) -> None:
        self.costs(trace)[1].backward()
