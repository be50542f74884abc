"""The parameters and other numbers of K members of one architecture, stacked along a first dimension."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.schedules import Constant, Schedule, scheduled
from aelab.objectives.base import Term
from aelab.training.base import Training
from aelab.training.substitution import Entry, modules_of, replaced, tensors_of


class ParameterStack:
    """Trained parameters (K, N), a row for each member, and all else that its tensors hold, each (K, ...).

    Raises ConfigurationError where the members differ in structure or in a shape.
    """

    def __init__(self, members: Sequence[Training]) -> None:
        self.members = members
        held = [list(tensors_of(member)) for member in members]
        first = held[0]
        if any([t.shape for t, _ in other] != [t.shape for t, _ in first] for other in held):
            raise ConfigurationError("members of one stack have weights of the same shapes, and these differ")
        self.held = held
        self.trained = [i for i, (tensor, _) in enumerate(first) if tensor.requires_grad]
        self.fixed = [i for i, (tensor, _) in enumerate(first) if not tensor.requires_grad]
        self.shapes = [first[i][0].shape for i in self.trained]
        self.sizes = [first[i][0].numel() for i in self.trained]
        with torch.no_grad():
            self.flat = torch.stack([torch.cat([row[i][0].flatten() for i in self.trained]) for row in held])
            self.views = self.unflattened(self.flat)
            self.buffers = [torch.stack([row[i][0] for row in held]) for i in self.fixed]

    def unflattened(self, flat: Tensor) -> list[Tensor]:
        """(K, N) -> each trained parameter (K, *shape), as views."""
        parts = flat.split(self.sizes, 1)
        return [part.view(len(flat), *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    @contextmanager
    def in_place(self, trained: Sequence[Tensor], buffers: Sequence[Tensor]) -> Iterator[None]:
        """Make the first member compute with these tensors instead of its own."""
        values = {
            **dict(zip(self.trained, trained, strict=True)),
            **dict(zip(self.fixed, buffers, strict=True)),
        }
        with replaced(
            [(entry, values[i]) for i, (_, entries) in enumerate(self.held[0]) for entry in entries]
        ):
            yield

    @torch.no_grad()
    def publish(self) -> None:
        """Copy each row into the modules of its member."""
        stacked = [*self.views, *self.buffers]
        for row, member in enumerate(self.held):
            for index, values in zip([*self.trained, *self.fixed], stacked, strict=True):
                member[index][0].copy_(values[row])


@dataclass(frozen=True)
class ScheduledAttribute:
    """A number of the model that differs between members, or that follows a schedule.

    schedules: one for each member.
    """

    entry: Entry
    schedules: Sequence[Schedule]

    def set_to(self, value: Tensor) -> tuple[Entry, Any]:
        """The entry, and the object that makes it have this value."""
        home, name = self.entry
        return self.entry, (lambda _step: value) if isinstance(home[name], Schedule) else value


def scheduled_attributes(members: Sequence[Training]) -> list[ScheduledAttribute]:
    """The numbers in which the members' modules differ, and all schedules but those of terms' weights."""
    found = []
    for alike in zip(*map(modules_of, members), strict=True):
        for name, value in vars(alike[0]).items():
            values = [vars(module).get(name) for module in alike]
            if isinstance(value, Schedule):
                varies = not (isinstance(alike[0], Term) and name == "weight")
            else:
                varies = _is_number(value) and any(other != value for other in values)
            if varies:
                found.append(ScheduledAttribute((vars(alike[0]), name), [scheduled(v) for v in values]))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class ScheduleTable:
    """The values of all schedules by member: the weights of the terms, then the attributes, R rows in all."""

    def __init__(self, members: Sequence[Training], attributes: Sequence[ScheduledAttribute]) -> None:
        weights = [[m.objective.terms[name].weight for m in members] for name in members[0].objective.terms]
        self.rows: list[Sequence[Schedule]] = [*weights, *(attribute.schedules for attribute in attributes)]
        self.constant = all(isinstance(schedule, Constant) for row in self.rows for schedule in row)
        self.known: Tensor | None = None

    def at(self, step: int, device: torch.device) -> Tensor:
        """The values at a step, (R, K) float32."""
        if self.known is None or not self.constant:
            self.known = torch.tensor([[s(step) for s in row] for row in self.rows], device=device)
        return self.known
