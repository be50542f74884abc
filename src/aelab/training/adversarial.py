"""Training against critics: in each batch their steps, and then the model's.

    batch ──model──▶ trace ──critic.cost──▶ backward into the critics alone ──▶ their step, `rounds` times
                       └────objective─────▶ backward into model and terms alone ──▶ their step, counted

A backward pass names the parameters that it is for, so no player's gradient reaches another one's.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from aelab.cluster.collectives import average, average_gradients
from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError
from aelab.core.quantity import Quantity
from aelab.core.records import Batch, Trace
from aelab.core.schedules import Schedule
from aelab.metrics.generation import DIVERSITY
from aelab.training.base import Training
from aelab.training.optimizers import Groups, grouped, norm, of_group, optimizers_of

TAKEN = ("model", "terms", "critics")


class Adversarial(Training):
    """Critics and model in turn (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661).

    Where batches are accumulated all step together after the last of them, each by the gradient that the
    batches together have before: the steps are simultaneous, not alternating.

    rounds: steps of the critics for each of the model's, all on the model's own batch, but on new codes.
    lr_schedules: of critics, by name, or of all under `critics`; where one is missing it is as the model's.
    Raises ConfigurationError for an objective without critics, and for several rounds of accumulated batches.
    """

    def __init__(
        self,
        rounds: int = 1,
        lr_schedules: Mapping[str, Callable[..., Schedule]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.names = list(self.objective.critics)
        self.make_lr_schedules = dict(lr_schedules or {})
        self.lr_schedules: dict[str, Schedule] = {}
        self.rounds = rounds
        if not self.names:
            raise ConfigurationError(
                "training=adversarial needs objective.critics: add critic=[samples] or another, or choose "
                "training=standard"
            )
        at_least(1, **{"training.rounds": rounds})
        if self.accumulate > 1 and rounds > 1:
            raise ConfigurationError(
                f"training.rounds={rounds}, training.accumulate_grad_batches={self.accumulate}: critics step "
                "just once where batches are accumulated: training.rounds=1 would work"
            )
        if taken := set(self.names) & set(TAKEN):
            raise ConfigurationError(f"objective.critics.{taken.pop()}: choose another name for the critic")
        for name in self.make_lr_schedules:
            if name not in (*self.names, "critics"):
                raise ConfigurationError(
                    f"training.lr_schedules.{name} is of no critic: name one of {', '.join(self.names)}, or "
                    "`critics` for all"
                )

    @property
    def of_samples(self) -> tuple[Quantity, ...]:  # type: ignore[override]
        return () if self.model.prior is None else (DIVERSITY,)

    def groups(self) -> Groups:
        terms: Any = self.objective.terms
        return grouped({"model": self.model, **self.objective.critics, "terms": terms})

    def make_optimizers(self) -> dict[str, Optimizer]:
        given = dict(self.make_others)
        shared = given.pop("critics", None)
        if shared is not None:
            given = dict.fromkeys(self.names, shared) | given
        return optimizers_of(self.groups(), self.make_optimizer, given)

    def configure_optimizers(self) -> list[Optimizer]:
        made = super().configure_optimizers()
        for name in self.names:
            if make := of_group(name, self.make_lr_schedules):
                self.lr_schedules[name] = make(steps=self.total_steps)
        return made

    def rate_of(self, name: str) -> Schedule | None:
        return self.lr_schedules.get(name, self.lr_schedule)

    @cached_property
    def owned(self) -> Groups:
        return self.groups()

    @cached_property
    def sides(self) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters of the critics, and those of model and terms."""
        critics: list[Tensor] = []
        rest: list[Tensor] = []
        for name, group in self.owned.items():
            (critics if name in self.names else rest).extend(group)
        return critics, rest

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.seed_step(batch_idx)
        critics, rest = self.sides
        step, alternating = self.global_step, self.accumulate == 1
        trace = self.model(batch, self.objective.samples, step)
        for left in reversed(range(self.rounds)):
            costs, total = self.critic_costs(self._again(batch, step) if left else trace)
            self._backward(self.summed(total, batch), critics)
            if not left:
                norms = {"critic_gradient": self._norm(self.names, batch)}
            if alternating:
                self.step_critics()
        values, loss = self.costs(trace)
        self._backward(self.summed(loss, batch), rest)
        norms["gradient"] = self._norm(("model", "terms"), batch)
        steps = self.steps_now(batch_idx)
        self.take_means(batch, steps)
        if steps:
            if not alternating:
                self.step_critics()
            self.step_optimizer(trace)
        self.record({**values, **costs, **norms, "loss": loss}, step + 1, len(batch.x))

    @torch.no_grad()
    def _again(self, batch: Batch, step: int) -> Trace:
        return self.model(batch, self.objective.samples, step)

    def critic_costs(self, trace: Trace) -> tuple[dict[str, Tensor], Tensor]:
        """What each critic's own step lowers, with its readings, and the sum of the costs."""
        found: dict[str, Tensor] = {}
        costs = []
        with self.in_float32():
            for name, critic in self.objective.critics.items():
                costs.append(critic.cost(trace, self.model))
                found[f"critic_{name}"] = costs[-1]
                found |= {f"critic_{name}_{reading}": value for reading, value in critic.readings().items()}
            return found, torch.stack(costs).sum()

    @torch.no_grad()
    def step_critics(self) -> None:
        """Step each critic past Lightning, and let it move what no gradient trains."""
        for name in self.names:
            if name in self.others:
                self.step_uncounted(self.others[name], self.rate_of(name))
            critic = self.objective.critics[name]
            critic.after_step()
            if dist.is_initialized():
                average([buffer for buffer in critic.buffers() if buffer.is_floating_point()])

    def _norm(self, owners: Iterable[str], batch: Batch) -> Tensor:
        """The norm of their gradients together, before any clipping, to which each one's is told."""
        found = {name: norm(self.owned[name]) for name in owners if name in self.owned}
        if self.accumulate == 1:
            first = self.model_optimizer().optimizer
            self.norms |= {self.others.get(name, first): value for name, value in found.items()}
        return torch.stack(list(found.values())).norm() / self.summands(batch)

    def _backward(self, cost: Tensor, parameters: Iterable[Tensor]) -> None:
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
