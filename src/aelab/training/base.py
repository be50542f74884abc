"""What every training procedure shares: whose parameters are stepped by what, seeding, and stepping."""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics import MetricCollection

from aelab.cluster.collectives import average, average_gradients, take_firsts
from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.core.schedules import OfTraining, Schedule
from aelab.core.seeds import seed_generators, step_seed
from aelab.models import Autoencoder
from aelab.models.distributions import check_same_space
from aelab.objectives.base import Objective, Term
from aelab.training.compiled_step import CompiledStep
from aelab.training.loop import lean_loop
from aelab.training.measured import Measured, epoch_of
from aelab.training.optimizers import (
    Factory,
    Groups,
    check_scaled,
    forget_gradients,
    grouped,
    norm,
    optimizers_of,
    scale_rates,
)
from aelab.training.sharding import Sharded, shard


class Training(Measured):
    """The base of the training procedures; subclasses say what a training step does.

    Optimisation is manual, so that procedures with several optimisers share it and a step costs little:
    accumulation and clipping are options here, not of the Trainer. Every parameter belongs to one group with
    an optimiser of its own; Lightning's `global_step` counts those steps of the model's alone.

    optimizer: from parameters to a torch optimiser, for the model.
    lr_schedule: a schedule that multiplies the learning rates, completed with the number of `steps`, or None.
    optimizers: for the other groups, by name; where one is missing it is as the model's.
    measures: makes the estimands of one split.
    accumulate_grad_batches: batches for each optimisation step, whose gradient is the mean over all that they
        hold, however many are left for the last step of an epoch.
    gradient_clip_val: the largest norm of the gradient, of each group's parameters, or None.
    compile: "networks" for encoder and decoder through torch.compile; "step" for the whole pass, which
        `compile_step` does; None for neither.

    eager: why steps are not compiled though compile="step" asks for it; None where they are or need not be.
    of_same_data: whether it makes sense with the data of `start.run` alone.
    """

    of_same_data = False

    def __init__(
        self,
        model: Autoencoder,
        objective: Objective,
        optimizer: Factory,
        lr_schedule: Callable[..., Schedule] | None,
        measures: Callable[[], MetricCollection],
        optimizers: Mapping[str, Factory] | None = None,
        seed: int = 0,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        compile: str | None = None,
    ) -> None:
        super().__init__(model, objective, measures, seed)
        at_least(1, **{"training.accumulate_grad_batches": accumulate_grad_batches})
        self.automatic_optimization = False
        self.make_optimizer, self.make_lr_schedule = optimizer, lr_schedule
        self.make_others = dict(optimizers or {})
        self.others: dict[str, Optimizer] = {}  # by group, without the model's
        self.lr_schedule: Schedule | None = None
        self.accumulate, self.clip = accumulate_grad_batches, gradient_clip_val
        self.accumulated = 0  # observations since the last step, where batches are accumulated
        self.followers = [t for t in objective.terms.values() if type(t).after_step is not Term.after_step]
        self.norms: dict[Optimizer, Tensor] = {}  # of the gradients that each is to step with, where known
        self.averages: list[Tensor] = []  # what steps move beside the weights
        self.compiled: CompiledStep | None = None
        self.eager: str | None = None
        if compile not in (None, "networks", "step"):
            raise ConfigurationError(f"training.compile={compile}: choose networks, step or null")
        if compile == "networks":
            if model.follows_gradient:
                raise ConfigurationError(
                    "training.compile=networks cannot differentiate twice, as structure=hamiltonian does: "
                    "training.compile=null would work"
                )
            for part in filter(None, (model.encoder, model.decoder)):
                part.compile()

    def begin(self, examples: Callable[[int], Batch], processes: int) -> None:
        """Make ready for the first step of all, once the weights of `start.run` are there.

        examples: gives so many training observations, or all. processes: how many share the training.
        Raises ConfigurationError for a prior that is of the codes of a trained model.
        """
        if self.model.prior is not None and self.model.prior.of_held_codes:
            raise ConfigurationError(
                f"{type(self.model.prior).__name__} is fitted to the codes of a trained model: train with "
                "another prior, then choose variant=prior_of with start.run=FOLDER"
            )

    def configure_model(self) -> None:
        if self.is_sharded:
            shard(self.model, self.device_mesh["data_parallel"])  # type: ignore[index]

    @property
    def is_sharded(self) -> bool:
        """Whether each process has a part of the weights only."""
        return isinstance(self.trainer.strategy, Sharded)

    def groups(self) -> Groups:
        """The trained parameters by owner, each in one group: the model's first."""
        return grouped({"model": self.model, "terms": self.objective.terms})  # type: ignore[dict-item]

    def make_optimizers(self) -> dict[str, Optimizer]:
        """A new optimiser for each group; raises ConfigurationError as `optimizers_of`."""
        return optimizers_of(self.groups(), self.make_optimizer, self.make_others)

    def configure_optimizers(self) -> list[Optimizer]:
        made = self.make_optimizers()
        if self.trainer.precision == "16-mixed":
            check_scaled(made, self.clip)
        self.others = {name: optimizer for name, optimizer in made.items() if name != "model"}
        kept = self.state_dict().keys()
        self.averages = [buffer for name, buffer in self.named_buffers() if name in kept]
        for schedule in self.schedules_of_training():
            schedule.plan(self.total_steps)
        if self.make_lr_schedule:
            self.lr_schedule = self.make_lr_schedule(steps=self.total_steps)
        return list(made.values())

    def schedules_of_training(self) -> Iterator[OfTraining]:
        """Those of weights, capacities and temperatures that need to know how long the training is."""
        for module in self.modules():
            yield from (value for value in vars(module).values() if isinstance(value, OfTraining))

    @property
    def total_steps(self) -> int:
        """Optimisation steps of the whole training; ConfigurationError where it has no end."""
        limited, epochs = self.trainer.max_steps, self.trainer.max_epochs
        if epochs in (None, -1):
            if limited < 1:
                raise ConfigurationError(
                    "a schedule needs to know the end of the training: set trainer.max_epochs or max_steps"
                )
            return limited
        _ = self.trainer.estimated_stepping_batches  # this counts the batches of an epoch
        planned = epochs * math.ceil(self.trainer.num_training_batches / self.accumulate)
        return planned if limited < 0 else min(planned, limited)

    def seed_step(self, batch_idx: int) -> None:
        """Make the noise of this batch a function of its position alone."""
        seed = step_seed(self.seed, "train", epoch_of(self.trainer), batch_idx, self.global_rank)
        seed_generators(seed, self.device)

    @abstractmethod
    def differentiate(self, trace: Trace) -> None:
        """Give every trained parameter the gradient that a training step on this trace would give it."""

    @torch.enable_grad()
    def rehearse(self, batch: Batch) -> int:
        """One training step but for the optimisers', of which nothing stays; its floating-point operations.

        Raises ConfigurationError where the parts do not fit, or a parameter is trained by nothing.
        """
        with self._values_kept(), FlopCounterMode(display=False) as counter:
            trace = self.model(batch, self.objective.samples)
            if trace.prior is not None and trace.posterior is not None:
                check_same_space(trace.posterior, trace.prior)
            self.differentiate(trace)
            self.follow(trace)
        idle = [name for name, p in self.named_parameters() if p.requires_grad and p.grad is None]
        if idle:
            raise ConfigurationError(
                f"nothing in the objective trains {', '.join(idle[:3])}: choose other parts, or an "
                "objective that reads them"
            )
        self.zero_grad()
        return counter.get_total_flops()

    @contextmanager
    def _values_kept(self) -> Iterator[None]:
        kept = [*self.buffers(), *self.parameters()]
        before = [(tensor, tensor.detach().clone()) for tensor in kept]
        yield
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)

    def compile_step(self, batch: Batch) -> None:
        """Compile the pass of a step on batches of this size, or say in `eager` why that cannot be."""
        self.eager = f"{type(self).__name__.lower()} training has more than one pass in a step"

    def steps_now(self, batch_idx: int) -> bool:
        """Whether the optimiser steps after this batch."""
        if (batch_idx + 1) % self.accumulate == 0:
            return True
        return self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch

    def summed(self, cost: Tensor, batch: Batch) -> Tensor:
        """A batch's mean cost, as a sum over its observations where more batches come before the step."""
        return cost * len(batch.x) if self.accumulate > 1 else cost

    def summands(self, batch: Batch) -> int:
        """How many observations the gradients are summed over since the last step, with this batch."""
        return self.accumulated + len(batch.x) if self.accumulate > 1 else 1

    def take_means(self, batch: Batch, steps: bool) -> None:
        """Where batches are accumulated, count this one, and before a step make sums of gradients the means.

        Every process has equally many observations of each batch, so that their mean needs no counts.
        """
        if self.accumulate == 1:
            return
        self.accumulated += len(batch.x)
        if steps:
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad /= self.accumulated
            self.accumulated = 0

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        with self.in_float32():  # what is lower is so already, and products of densities are not to become so
            if lean_loop(self.trainer):
                loss.backward(*args, **kwargs)
            else:
                super().manual_backward(loss, *args, **kwargs)

    def step_optimizer(self, trace: Trace | None) -> None:
        """Step the terms' own parameters and the model's, and count one step; trace: of its last batch, for
        terms that follow it."""
        wrapped, loop = self.model_optimizer(), lean_loop(self.trainer)
        optimizer = wrapped.optimizer
        if self.is_sharded:
            average_gradients(self.parameters())
        if "terms" in self.others:
            self.step_uncounted(self.others["terms"], self.lr_schedule)
        if self.lr_schedule:
            scale_rates(optimizer, self.lr_schedule(self.global_step))
        if loop:
            self.on_before_optimizer_step(optimizer)
            loop.step(optimizer)
        else:
            wrapped.step()
        if self.trainer.world_size > 1:
            take_firsts(self.averages)  # DDP does so for automatic steps alone
        if self.followers and trace is not None:
            self.follow(trace)
        forget_gradients(optimizer)

    def step_uncounted(self, optimizer: Optimizer, rate: Schedule | None) -> None:
        """Step an optimiser past Lightning: a batch is one step, however many optimisers there are."""
        if rate:
            scale_rates(optimizer, rate(self.global_step))
        self.on_before_optimizer_step(optimizer)
        optimizer.step()
        forget_gradients(optimizer)

    @torch.no_grad()
    def follow(self, trace: Trace) -> None:
        """Let terms move buffers after a step, each to the mean of what the processes come to."""
        with self.in_float32():
            for term in self.followers:
                term.after_step(trace, self.model)
        if dist.is_initialized():
            average([buffer for buffer in self.averages if buffer.is_floating_point()])

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here, where mixed precision has unscaled the gradients, by the norm if it is known already."""
        if self.clip:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            known = self.norms.pop(optimizer, None)
            total = norm(parameters) if known is None else known
            nn.utils.clip_grads_with_norm_(parameters, self.clip, total)
