"""One pass of all members, forward and backward, as a flat list of tensor operations.

The pass is `vmap`ped over the members and traced once for each size of a batch. What is left for a step is
the list itself: no module, no autograd, no `vmap`, which in a small model cost more than the arithmetic.
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from aelab.core.records import Batch
from aelab.training.base import Training
from aelab.training.substitution import replaced
from aelab.training.vectorised.noise import DrawRecorder, DrawReplayer, NoiseDraw
from aelab.training.vectorised.parameter_stack import ParameterStack, ScheduledAttribute
from aelab.training.vectorised.simplification import simplified


class TracedPass:
    """A traced pass over batches of one size.

    schedules: the values of the `ScheduleTable` at a step, (R, K).
    draws: the noise of one member, in order.
    """

    def __init__(
        self, stack: ParameterStack, attributes: Sequence[ScheduledAttribute], schedules: Tensor, batch: Batch
    ) -> None:
        self.members = len(stack.members)
        first = stack.members[0]
        self.draws = _noise_draws(first, batch.map(lambda value: value[0]))
        noise = [torch.stack([draw() for _ in stack.members]) for draw in self.draws]
        given = [value for value in batch if value is not None]
        run = _stacked_pass(stack, attributes, batch)
        trace = make_fx(run, tracing_mode="fake", _allow_non_fake_inputs=True)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "There is a performance drop"
            )  # true of `vmap`, not of its trace
            self.run = simplified(trace(schedules, *stack.views, *stack.buffers, *given, *noise))

    def noise(self, seed: Callable[[int], None]) -> list[Tensor]:
        """Each draw for all members (K, ...); seed: begins the stream of the member with this number."""
        if not self.draws:
            return []
        drawn = []
        for member in range(self.members):
            seed(member)
            drawn.append([draw() for draw in self.draws])
        return [torch.stack(each) for each in zip(*drawn, strict=True)]

    @torch.no_grad()
    def __call__(
        self, stack: ParameterStack, schedules: Tensor, batch: Batch, noise: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The gradient (K, N), and the terms with their weighted sum as the last, (T + 1, K)."""
        given = [value for value in batch if value is not None]
        return self.run(schedules, *stack.views, *stack.buffers, *given, *noise)


@torch.no_grad()
def _noise_draws(member: Training, batch: Batch) -> list[NoiseDraw]:
    """The draws of noise in a pass of one member alone."""
    buffers = [(buffer, buffer.clone()) for _, buffer in member.named_buffers()]
    with DrawRecorder() as recorded:
        member.objective(member.model(batch, member.objective.samples), member.model)
    for buffer, before in buffers:
        buffer.copy_(before)
    return recorded.draws


def _stacked_pass(
    stack: ParameterStack, attributes: Sequence[ScheduledAttribute], like: Batch
) -> Callable[..., tuple[Tensor, Tensor]]:
    """The pass of all members as a function of tensors, for tracing; like: a batch with the same parts."""
    first, parts = stack.members[0], [value is not None for value in like]
    terms = len(first.objective.terms)

    def one(
        trained: list[Tensor],
        numbers: Tensor,
        buffers: list[Tensor],
        given: list[Tensor],
        noise: list[Tensor],
    ) -> list[Tensor]:
        rest = iter(given)
        batch = Batch(*(next(rest) if there else None for there in parts))  # type: ignore[arg-type]
        values = [
            attribute.set_to(number) for attribute, number in zip(attributes, numbers.unbind(), strict=True)
        ]
        with stack.in_place(trained, buffers), replaced(values), DrawReplayer(noise):
            trace = first.model(batch, first.objective.samples)
            return list(first.objective(trace, first.model).values())

    def stacked(schedules: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        rest = iter(tensors)
        trained = [next(rest).detach().requires_grad_() for _ in stack.views]
        buffers, given = [next(rest) for _ in stack.buffers], [next(rest) for there in parts if there]
        weights, numbers = schedules[:terms], schedules[terms:].T
        values = torch.vmap(one, randomness="error")(trained, numbers, buffers, given, list(rest))
        gradients = torch.autograd.grad(values, trained, weights.unbind(), materialize_grads=True)
        table = torch.stack(values)
        loss = (weights * table).sum(0, keepdim=True)
        return torch.cat([g.flatten(1) for g in gradients], 1), torch.cat([table, loss]).detach()

    return stacked
