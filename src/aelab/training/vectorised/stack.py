"""The numbers of K members of one architecture, stacked, and their places in one of the members."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.schedules import Constant, Schedule, scheduled
from aelab.objectives.base import Term
from aelab.training.base import Training

Place = tuple[dict[str, Any], str]  # an entry of a module's own dictionary


class Stack:
    """Trained parameters (K, N), a row for each member, and all else that its tensors hold, each (K, ...).

    Raises ConfigurationError where the members differ in structure or in a shape.
    """

    def __init__(self, members: Sequence[Training]) -> None:
        self.members = members
        held = [list(_tensors(member)) for member in members]
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
        """Let the first member compute with these tensors in the place of its own."""
        values = {
            **dict(zip(self.trained, trained, strict=True)),
            **dict(zip(self.fixed, buffers, strict=True)),
        }
        with replaced([(place, values[i]) for i, (_, places) in enumerate(self.held[0]) for place in places]):
            yield

    @torch.no_grad()
    def publish(self) -> None:
        """Copy each row into its member's own modules."""
        stacked = [*self.views, *self.buffers]
        for row, member in enumerate(self.held):
            for index, values in zip([*self.trained, *self.fixed], stacked, strict=True):
                member[index][0].copy_(values[row])


def _tensors(member: Training) -> Iterator[tuple[Tensor, list[Place]]]:
    """Parameters and buffers of model and objective, each once, with every place that holds it."""
    found: dict[int, tuple[Tensor, list[Place]]] = {}
    for module in modules_of(member):
        for home in (module._parameters, module._buffers):
            for name, tensor in home.items():
                if tensor is not None:
                    found.setdefault(id(tensor), (tensor, []))[1].append((home, name))
    yield from found.values()


def modules_of(member: Training) -> Iterator[nn.Module]:
    yield from member.model.modules()
    yield from member.objective.modules()


@contextmanager
def replaced(values: Sequence[tuple[Place, Any]]) -> Iterator[None]:
    """Entries of dictionaries with other values for a while; past `nn.Module`'s own bookkeeping."""
    before = [home[name] for (home, name), _ in values]
    for (home, name), value in values:
        home[name] = value
    try:
        yield
    finally:
        for ((home, name), _), value in zip(values, before, strict=True):
            home[name] = value


@dataclass(frozen=True)
class Knob:
    """A number of the model that members have values of their own for, or that follows a schedule."""

    place: Place
    schedules: Sequence[Schedule]

    def set_to(self, value: Tensor) -> tuple[Place, Any]:
        """What stands in its place while `value` is its number."""
        home, name = self.place
        return self.place, (lambda _step: value) if isinstance(home[name], Schedule) else value


def knobs(members: Sequence[Training]) -> list[Knob]:
    """All schedules but those of the terms' weights, and the numbers in which the members' modules differ."""
    found = []
    for together in zip(*map(modules_of, members), strict=True):
        for name, value in vars(together[0]).items():
            values = [vars(module).get(name) for module in together]
            if isinstance(value, Schedule):
                varies = not (isinstance(together[0], Term) and name == "weight")
            else:
                varies = _is_number(value) and any(other != value for other in values)
            if varies:
                found.append(Knob((vars(together[0]), name), [scheduled(v) for v in values]))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Settings:
    """Numbers for each member at a step: the weights of the terms, then the knobs, (R, K)."""

    def __init__(self, members: Sequence[Training], knobs: Sequence[Knob]) -> None:
        weights = [[m.objective.terms[name].weight for m in members] for name in members[0].objective.terms]
        self.rows: list[Sequence[Schedule]] = [*weights, *(knob.schedules for knob in knobs)]
        self.constant = all(isinstance(schedule, Constant) for row in self.rows for schedule in row)
        self.known: Tensor | None = None

    def at(self, step: int, device: torch.device) -> Tensor:
        """(R, K), float32."""
        if self.known is None or not self.constant:
            self.known = torch.tensor([[s(step) for s in row] for row in self.rows], device=device)
        return self.known
