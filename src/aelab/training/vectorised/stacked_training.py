"""The training steps of a stack: noise, pass, clipping and optimiser, for all members at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.core.schedules import Schedule
from aelab.core.seeds import seed_generators, step_seed
from aelab.core.text import first_line
from aelab.training.base import Training
from aelab.training.vectorised.parameter_stack import ParameterStack, ScheduleTable, scheduled_attributes
from aelab.training.vectorised.traced_pass import TracedPass

# Each weight's step depends on that weight alone, so that rows of a stack can be stepped together.
ELEMENTWISE = (Adam, AdamW, RMSprop, SGD)
TOLERANCE = 1e-3  # of the comparison with members alone, relative to the largest value


class StackedTraining:
    """The training of all members of a stack, each stepped as it would step alone.

    total: steps of the whole training, for the schedules.
    names: of the terms, then `loss`, as `step` returns them.

    Raises ConfigurationError where the members cannot be stacked.
    """

    def __init__(self, members: Sequence[Training], total: int, device: torch.device) -> None:
        self.members, self.device = members, device
        if any(list(member.groups()) != ["model"] or member.followers for member in members):
            raise ConfigurationError(
                "trainer=vectorised steps the parameters of models alone, and a term of this objective has "
                "some of its own, or moves buffers after each step: train the members one by one"
            )
        for member in members:
            member.to(device)
            for schedule in member.schedules_of_training():
                schedule.plan(total)
        self.stack = ParameterStack(members)
        self.attributes = scheduled_attributes(members)
        self.schedules = ScheduleTable(members, self.attributes)
        self.names = (*members[0].objective.terms, "loss")
        self.optimizer = StackedOptimizer(members, self.stack.flat, total)
        self.clips = _clips(members, device)
        self.passes: dict[int, TracedPass] = {}
        self.done = 0

    def step(self, batch: Batch, epoch: int, index: int) -> Tensor:
        """One step on a batch of stacked parts, (K, B, ...); the values by `names`, (T + 1, K)."""
        gradient, values = self.gradient(batch, epoch, index)
        if self.clips is not None:
            norm = gradient.norm(dim=1)
            gradient.mul_((self.clips / (norm + 1e-6)).clamp(max=1)[:, None])
        self.optimizer.step(gradient, self.done)
        self.done += 1
        return values

    def gradient(self, batch: Batch, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """The gradient (K, N) and the values (T + 1, K), before a step."""

        def seed(member: int) -> None:
            seed_generators(step_seed(self.members[member].seed, "train", epoch, index), self.device)

        schedules = self.schedules.at(self.done, self.device)
        run = self._pass(schedules, batch)
        return run(self.stack, schedules, batch, run.noise(seed))

    def _pass(self, schedules: Tensor, batch: Batch) -> TracedPass:
        size = batch.x.shape[1]
        if size not in self.passes:
            try:
                self.passes[size] = TracedPass(self.stack, self.attributes, schedules, batch)
            except (RuntimeError, TypeError, NotImplementedError, StopIteration) as error:
                reason = first_line(error).partition(". ")[0]
                raise ConfigurationError(
                    f"these members cannot be stacked by trainer=vectorised ({reason}): train them one by one"
                ) from error
        return self.passes[size]

    def check(self, batch: Batch) -> None:
        """Compare a first pass with that of each member alone; ConfigurationError where they differ.

        To be called before the first step; it changes nothing.
        """
        buffers = [buffer.clone() for buffer in self.stack.buffers]
        gradient, values = self.gradient(batch, 0, 0)
        self.stack.buffers = buffers
        for row, member in enumerate(self.members):
            alone = self._alone(member, batch.map(lambda value, row=row: value[row]))  # type: ignore[misc]
            for found, expected in zip((gradient[row], values[:, row]), alone, strict=True):
                if not torch.allclose(found, expected, atol=TOLERANCE * expected.abs().max().item(), rtol=0):
                    raise ConfigurationError(
                        "trainer=vectorised does not come to what the members come to alone, by "
                        f"{(found - expected).abs().max().item():.2g} in member {row}: train them one by one"
                    )

    def _alone(self, member: Training, batch: Batch) -> tuple[Tensor, Tensor]:
        """The gradient (N,) and the values (T + 1,) of one member's own pass."""
        buffers = [(buffer, buffer.clone()) for buffer in member.buffers()]
        seed_generators(step_seed(member.seed, "train", 0, 0), self.device)
        values = member.objective(member.model(batch, member.objective.samples, 0), member.model)
        loss = member.objective.total(values, 0)
        trained = [p for p in member.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        return torch.cat([g.flatten() for g in gradients]), torch.stack([*values.values(), loss]).detach()


@dataclass
class StepOptions:
    """The optimiser's options for one member, and its schedule of the learning rate."""

    options: dict[str, Any]
    schedule: Schedule | None

    def factor(self, step: int) -> float:
        """The schedule's factor on the learning rate at a step."""
        return self.schedule(step) if self.schedule else 1.0


class StackedOptimizer:
    """One optimiser over the rows of a stack; rows of the same options share a parameter group."""

    def __init__(self, members: Sequence[Training], flat: Tensor, total: int) -> None:
        self.parameters = [nn.Parameter(row) for row in flat.unbind()]  # they share the stack's memory
        self.rows = [
            _step_options(member, p, total) for member, p in zip(members, self.parameters, strict=True)
        ]
        groups: list[tuple[StepOptions, list[nn.Parameter]]] = []
        for row, parameter in zip(self.rows, self.parameters, strict=True):
            alike = next((shared for known, shared in groups if known == row), None)
            if alike is None:
                groups.append((row, [parameter]))
            else:
                alike.append(parameter)
        self.groups = [row for row, _ in groups]
        self.optimizer: Optimizer = members[0].make_optimizer(groups[0][1])
        for row, shared in groups[1:]:
            self.optimizer.add_param_group({**row.options, "params": shared})

    def rates(self, step: int) -> list[float]:
        """Each member's learning rate at a step."""
        return [row.factor(step) * row.options["lr"] for row in self.rows]

    def step(self, gradient: Tensor, step: int) -> None:
        """Step all rows along their gradients (K, N)."""
        for parameter, own in zip(self.parameters, gradient.unbind(), strict=True):
            parameter.grad = own
        for group, row in zip(self.optimizer.param_groups, self.groups, strict=True):
            if row.schedule:
                group["lr"] = row.factor(step) * row.options["lr"]
        self.optimizer.step()


def _step_options(member: Training, parameter: nn.Parameter, total: int) -> StepOptions:
    optimizer = member.make_optimizer([parameter])
    if type(optimizer) not in ELEMENTWISE:
        raise ConfigurationError(
            f"trainer=vectorised steps members together, which {type(optimizer).__name__} is not known to "
            f"allow: choose optimizer={', '.join(kind.__name__.lower() for kind in ELEMENTWISE)}"
        )
    options = {name: value for name, value in optimizer.param_groups[0].items() if name != "params"}
    return StepOptions(options, member.make_lr_schedule(steps=total) if member.make_lr_schedule else None)


def _clips(members: Sequence[Training], device: torch.device) -> Tensor | None:
    """Each member's largest norm of the gradient, (K,); None where none clips."""
    if not any(member.clip for member in members):
        return None
    return torch.tensor([member.clip or float("inf") for member in members], device=device)
