"""Training against critics: in each batch their steps, and then the model's.

    batch ──model──▶ trace ──critic.cost──▶ backward into the critics alone ──▶ their step, `rounds` times
                       └────objective─────▶ backward into model and terms alone ──▶ their step, counted

A backward pass names the parameters that it is for, so no player's gradient reaches another one's.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.training.base import Training
from aelab.training.collectives import average_gradients
from aelab.training.optimizers import Groups, grouped


class Adversarial(Training):
    """Critics and model in turn (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661).

    rounds: steps of the critics for each of the model's, all on the model's own batch.
    Raises ConfigurationError for an objective without critics, and for accumulated gradients.
    """

    def __init__(self, rounds: int = 1, **options: Any) -> None:
        super().__init__(**options)
        if not self.objective.critics:
            raise ConfigurationError("training=adversarial needs objective.critics: choose training=standard")
        if rounds < 1 or self.accumulate > 1:
            raise ConfigurationError(
                f"training.rounds={rounds}, training.accumulate_grad_batches={self.accumulate}: critics step "
                "at least once in each batch, and the model in each; accumulate_grad_batches=1 would work"
            )
        self.rounds = rounds

    def groups(self) -> Groups:
        objective: Any = self.objective
        return grouped({"model": self.model, "critics": objective.critics, "terms": objective.terms})

    @cached_property
    def sides(self) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters of the critics, and those of model and terms."""
        groups: dict[str, Any] = self.groups()
        critics = groups.pop("critics", [])
        return critics, [parameter for group in groups.values() for parameter in group]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.seed_step(batch_idx)
        critics, rest = self.sides
        step = self.global_step
        trace = self.model(batch, self.objective.samples, step)
        for _ in range(self.rounds):
            costs, total = self.critic_costs(trace)
            self._backward(total, critics)
            self.step_uncounted(self.others["critics"])
        values, loss = self.costs(trace)
        self._backward(loss, rest)
        self.step_optimizer(trace)
        self.record({**values, **costs, "loss": loss}, step + 1, len(batch.x))

    def critic_costs(self, trace: Trace) -> tuple[dict[str, Tensor], Tensor]:
        """What each critic's own step lowers, and their sum."""
        critics = self.objective.critics
        with self.in_float32():
            costs = {f"critic_{name}": critics[name].cost(trace, self.model) for name in critics}
            return costs, torch.stack(list(costs.values())).sum()

    def _backward(self, cost: Tensor, parameters: list[Tensor]) -> None:
        several: Any = self.trainer.model if self.trainer.world_size > 1 else None
        if several is not None:
            several.require_backward_grad_sync = False  # DDP's own exchange takes one pass for all parameters
        self.manual_backward(cost, inputs=parameters)
        if several is not None:
            average_gradients(parameters)

    def differentiate(self, trace: Trace) -> None:
        critics, rest = self.sides
        self.critic_costs(trace)[1].backward(inputs=critics)
        self.costs(trace)[1].backward(inputs=rest)
