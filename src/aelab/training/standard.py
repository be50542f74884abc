"""Training by one backward pass of one objective."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from aelab.core.errors import AelabError, ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.core.text import first_line
from aelab.training.base import Training
from aelab.training.compiled_step import STEPS, CompiledStep, KnownGradient
from aelab.training.loop import lean_loop


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
        if self.compiled is not None and self.compiled.serves(batch):
            trace, values = None, self.compiled_pass(self.compiled, batch, step)
        else:
            trace, values = self.eager_pass(batch, step)
        steps = self.steps_now(batch_idx)
        self.take_means(batch, steps)
        if steps:
            self.watch_gradients()
            self.step_optimizer(trace)
        self.record(values, step + 1, len(batch.x))

    def eager_pass(self, batch: Batch, step: int) -> tuple[Trace, dict[str, Tensor]]:
        """The trace, its terms and `loss`, once every trained parameter has its gradient."""
        trace = self.model(batch, self.objective.samples, step)
        values, loss = self.costs(trace)
        self.manual_backward(self.summed(loss, batch))
        return trace, {**values, "loss": loss}

    def compiled_pass(self, compiled: CompiledStep, batch: Batch, step: int) -> dict[str, Tensor]:
        """The same without a trace."""
        values, gradients = compiled(batch, step)
        if lean_loop(self.trainer) and self.accumulate == 1:
            for parameter, gradient in zip(compiled.trained, gradients, strict=True):
                parameter.grad = gradient
        else:  # others may follow the backward pass
            loss = KnownGradient.apply(values["loss"], gradients, *compiled.trained)
            self.manual_backward(self.summed(loss, batch))
        return values

    def compile_step(self, batch: Batch) -> None:
        if self.followers:
            self.eager = (
                "a term moves buffers after each step, by the trace that a compiled step does not keep"
            )
            return
        model: Any = self.model
        try:
            # Compiled convolutions are faster so, eager ones are not.
            model.to(memory_format=torch.channels_last)
            with self._planned(STEPS[-1]):
                self.compiled = CompiledStep(self, batch)
        except Exception as error:  # tracing and compiling end in errors of every kind
            model.to(memory_format=torch.contiguous_format)
            kind = "" if isinstance(error, AelabError) else f"{type(error).__name__}: "
            self.eager = kind + first_line(error).partition(". ")[0][:200]

    @contextmanager
    def _planned(self, steps: int) -> Iterator[None]:
        """Schedules as in a training of so many steps: unplanned, they stand at their beginning."""
        schedules = list(self.schedules_of_training())
        for schedule in schedules:
            schedule.plan(steps)
        try:
            yield
        finally:
            for schedule in schedules:
                schedule.plan(None)

    def differentiate(self, trace: Trace) -> None:
        self.costs(trace)[1].backward()
