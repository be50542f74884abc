"""The pass of a training step, forward and backward, as one compiled function without autograd.

    weights, buffers, numbers that follow a schedule, batch
      │  traced once to tensor operations, then compiled by torch's inductor
      ▼
    terms and loss, gradients of the weights; buffers moved as the pass moves them

What is left out is what a small model's step consists of, modules and autograd, and in a large one the passes
through memory between its products.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.fx import GraphModule

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.core.schedules import Constant, Schedule
from aelab.core.seeds import seed_generators, step_seed
from aelab.training.measured import Measured
from aelab.training.substitution import Entry, modules_of, replaced, tensors_of

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # of the norm of a gradient
STEPS = (0, 1000)  # at which the pass is compared, so that what follows a schedule is compared too


class CompiledStep:
    """The pass over batches of one size, in the precision of where it is made and of one thread count.

    training: whose model and objective it computes, with their weights as they are at each call.
    batch: of that size, with the same parts as all later ones.
    Raises whatever tracing and compiling raise; ConfigurationError where it comes to other numbers than the
    step that it replaces.
    """

    def __init__(self, training: Measured, batch: Batch) -> None:
        held = list(tensors_of(training))
        self.training, self.size = training, len(batch.x)
        self.names = (*training.objective.terms, "loss")
        self.trained = [tensor for tensor, _ in held if tensor.requires_grad]
        self.fixed = [tensor for tensor, _ in held if not tensor.requires_grad]
        places = {id(tensor): entries for tensor, entries in held}
        self.entries = [places[id(tensor)] for tensor in (*self.trained, *self.fixed)]
        self.schedules = list(_schedules(training))
        with _static():
            self.run = _compiled(self._pass(batch), [each.detach() for each in self._inputs(batch, 0)])
        for step in STEPS:
            self._check(batch, step)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CompiledStep":
        """Itself: a copy of a training, as an average of its weights, is trained by nobody."""
        return self

    def serves(self, batch: Batch) -> bool:
        """Whether a batch is of the size that was compiled."""
        return len(batch.x) == self.size

    def __call__(self, batch: Batch, step: int) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The terms and `loss` by name, and the gradient of each trained parameter."""
        with torch.no_grad(), self.training.in_float32():
            values, gradients = _split(self.run(*self._inputs(batch, step)), len(self.names))
        return dict(zip(self.names, values, strict=True)), gradients

    def _inputs(self, batch: Batch, step: int) -> list[Tensor]:
        numbers = [torch.tensor(schedule(step), dtype=torch.float32) for _, schedule in self.schedules]
        given = [value for value in batch if value is not None]
        return [*self.trained, *self.fixed, *numbers, *given]

    def _pass(self, like: Batch) -> Callable[..., list[Tensor]]:
        """The pass as a function of its inputs; like: a batch with the same parts."""
        training = self.training

        def run(*inputs: Tensor) -> list[Tensor]:
            rest = iter(inputs)
            weights = [next(rest).detach().requires_grad_() for _ in self.trained]
            tensors = [*weights, *(next(rest) for _ in self.fixed)]
            values: list[tuple[Entry, Any]] = [
                (entry, t) for entries, t in zip(self.entries, tensors, strict=True) for entry in entries
            ]
            values += [(entry, _always(next(rest))) for entry, _ in self.schedules]
            batch = Batch(*(None if value is None else next(rest) for value in like))  # type: ignore[arg-type]
            with replaced(values):
                terms, loss = _costs(training, batch, 0)
                with training.in_float32():  # the forward pass has applied its precision already
                    gradients = torch.autograd.grad(loss, weights)
            kept = [*terms.values(), loss]
            return [*(value.detach() for value in kept), *map(_laid_out, gradients, weights)]

        return run

    def _check(self, batch: Batch, step: int) -> None:
        """Compare with the step that it replaces; nothing stays. ConfigurationError where they differ."""
        lowest = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        expected, found = (self._tried(run, batch, step) for run in (self._eager, self))
        apart = max(map(_apart, expected, found))
        if not apart <= TOLERANCE[lowest]:
            raise ConfigurationError(f"compiled it comes to other numbers, {apart:.1g} away from its own")

    def _tried(self, run: Any, batch: Batch, step: int) -> tuple[list[Tensor], ...]:
        """Values, gradients and buffers of a pass, whose buffers are as before afterwards."""
        before = [tensor.clone() for tensor in self.fixed]
        seed_generators(step_seed(self.training.seed, "train"), batch.x.device)
        values, gradients = run(batch, step)
        after = [tensor.double() for tensor in self.fixed]
        with torch.no_grad():
            for tensor, value in zip(self.fixed, before, strict=True):
                tensor.copy_(value)
        return [value.detach() for value in values.values()], list(gradients), after

    def _eager(self, batch: Batch, step: int) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        terms, loss = _costs(self.training, batch, step)
        return {**terms, "loss": loss}, torch.autograd.grad(loss, self.trained)


class KnownGradient(Function):
    """A loss whose gradients are known already: forward(loss, gradients, *weights) -> the loss."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor], *weights: Tensor) -> Tensor:  # noqa: ARG004
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return None, None, *(gradient * each for each in ctx.gradients)


def _costs(training: Measured, batch: Batch, step: int) -> tuple[dict[str, Tensor], Tensor]:
    """The terms and the loss, as an eager step computes them."""
    return training.costs(training.model(batch, training.objective.samples, step))


def _schedules(training: Measured) -> Iterator[tuple[Entry, Schedule]]:
    """The numbers of model and objective that change with the step."""
    for module in modules_of(training):
        for name, value in vars(module).items():
            if isinstance(value, Schedule) and not isinstance(value, Constant):
                yield (vars(module), name), value


def _always(value: Tensor) -> Callable[[int], Tensor]:
    return lambda _step: value


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    """A gradient in its weight's layout, as fused optimisers need it."""
    return gradient if gradient.stride() == weight.stride() else torch.empty_like(weight).copy_(gradient)


@contextmanager
def _static() -> Iterator[None]:
    """One sentence for whatever says that operations or shapes follow from values."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode) as error:
        raise ConfigurationError("what it computes depends on the values of a batch") from error


def _compiled(run: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """A function of tensors, traced on these and compiled; its noise is that of the default generators."""
    from torch._inductor.compile_fx import compile_fx

    traced = _traced(run, inputs)
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        made: Any = compile_fx(traced, inputs, config_patches={"fallback_random": True, "compile_threads": 1})
    return made


def _traced(run: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(run, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)


def _split(outputs: Sequence[Tensor], at: int) -> tuple[Sequence[Tensor], list[Tensor]]:
    return outputs[:at], list(outputs[at:])


def _apart(these: Sequence[Tensor], those: Sequence[Tensor]) -> float:
    """How far two lists of tensors differ, relative to each one's norm or a hundredth of the largest norm."""
    norms = [float(tensor.double().norm()) for tensor in these]
    least = 0.01 * max(norms, default=0.0) + 1e-12
    apart = [float((a.double() - b.double()).norm()) for a, b in zip(these, those, strict=True)]
    return max((a / max(norm, least) for a, norm in zip(apart, norms, strict=True)), default=0.0)
