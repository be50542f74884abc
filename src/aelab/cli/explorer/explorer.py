"""What the page's sliders and buttons ask of a trained model: observations to codes, codes to pictures."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelab.core.errors import DataError, InapplicableError
from aelab.data.splits import Observations
from aelab.evaluation.subject import BLOCK, Subject
from aelab.metrics.rate import kl_per_dimension
from aelab.models.conditions import batch_of, sees_observation
from aelab.models.distributions.divergence import space
from aelab.models.distributions.spherical import spherical
from aelab.runs.trained import Trained

REACH = 3.0  # standard deviations of the codes, to either side
SHORTEST = 0.1  # half of a slider for a dimension that stands still
EXAMPLES = BLOCK  # of the test split, that codes are known of
COLUMNS = 8
NATS, VARIANCE = "nats", "of variance"


@dataclass(frozen=True)
class Choice:
    """An observation, and what a conditional model is told of it.

    place: in the test split. upload: a file of the user's in its stead. label: in the place of its own.
    """

    place: int = 0
    upload: str | None = None
    label: int | None = None


@dataclass
class Explorer:
    """A trained model, and as a subject the same model with its test split.

    `sliders` are the dimensions of a code worth moving, the best first.
    """

    subject: Subject
    trained: Trained

    @cached_property
    def examples(self) -> int:
        """How many of the test split can be chosen."""
        return len(self.subject.data.observations("test"))

    @cached_property
    def real(self) -> bool:
        """Whether codes are real vectors, whose dimensions can be moved."""
        posterior = next(self.subject.traces("test", 1)).posterior
        return posterior is not None and space(posterior) == "real"

    @cached_property
    def codes(self) -> np.ndarray:
        """Of the first of the test split, (N, latent)."""
        return self.subject.codes("test", EXAMPLES)

    @cached_property
    def information(self) -> np.ndarray:
        """What each dimension tells of an observation, (latent,), in `unit`."""
        return self.codes.var(0) if self._rates is None else self._rates

    @property
    def unit(self) -> str:
        """Nats of the rate, where a dimension has one."""
        return VARIANCE if self._rates is None else NATS

    @cached_property
    def _rates(self) -> np.ndarray | None:
        traces = self.subject.traces("test", EXAMPLES, clean=True)
        try:
            return torch.cat([kl_per_dimension(trace) for trace in traces]).mean(0).cpu().numpy()
        except InapplicableError:
            return None

    def sliders(self, most: int) -> list[int]:
        """The dimensions that the decoder reads, by falling information."""
        if not self.real:
            return []
        told = self.information[: self.subject.model.decoded]
        return [int(i) for i in np.argsort(-told, kind="stable")[:most]]

    def reach(self, unit: int) -> tuple[float, float]:
        """How far a slider goes to either side."""
        column = self.codes[:, unit]
        middle, half = float(column.mean()), max(REACH * float(column.std()), SHORTEST)
        return round(middle - half, 2), round(middle + half, 2)

    def chosen(self, choice: Choice) -> Tensor:
        """The chosen observation as a user has it, (1, *shape); DataError for an upload that is none."""
        if choice.upload is None:
            return self._example(choice).x.cpu()
        try:
            _, blocks = self.trained.kind.read(choice.upload, self.trained.shape, resize=True)
            return next(blocks)[:1]
        except DataError as error:
            raise DataError(f"the uploaded file cannot be used: {error}") from error

    def told(self, choice: Choice) -> dict[str, Any]:
        """What the model is told of it, as options of `Trained`; an upload has the attributes of the example.

        InapplicableError for an upload without a label, where the model is told it.
        """
        example, conditioner = self._example(choice), self.trained.model.conditioner
        if conditioner is None or sees_observation(conditioner):
            return {}
        if conditioner.classes:
            if choice.upload is not None and choice.label is None:
                raise InapplicableError(
                    f"the model is told the label of a {self.trained.kind.noun}: choose that of the upload"
                )
            return {"y": _one(example.y) if choice.label is None else choice.label}
        return {conditioner.field: _one(getattr(example, conditioner.field))}

    def code(self, choice: Choice) -> Tensor:
        """The posterior's mean, (latent,)."""
        return self.trained.encode(self.chosen(choice), **self.told(choice))[0]

    def decoded(self, codes: Tensor, choice: Choice) -> Tensor:
        """Means of p(x|z,c) for codes (K, latent) under the condition of the choice: (K, *shape)."""
        return self.trained.decode(codes, **self._shown(choice))

    @torch.no_grad()
    def interpolation(self, a: Choice, b: Choice, steps: int, on_the_arc: bool) -> Image.Image:
        """From one observation's code to another's; what the model is told goes along on a line.

        InapplicableError without real codes.
        """
        if not self.real:
            raise InapplicableError("codes are no real vectors, between which there would be a way")
        between = spherical if on_the_arc else torch.lerp
        way, model = torch.linspace(0, 1, steps)[:, None], self.trained.model
        path = between(self.code(a), self.code(b), way).to(self.trained.device)
        first, last = self._context(a), self._context(b)
        told = None if first is None or last is None else torch.lerp(first, last, way.to(path.device))
        kind, x = self.trained.kind, self._seen(a).to(path.device).expand(steps, *self.trained.shape)
        return kind.picture([kind.back(model.likelihood_of(x, path[None], told))[0].cpu()], [""])

    def samples(self, count: int, choice: Choice, seed: int) -> Image.Image:
        """Means of p(x|z,c) for codes of the prior; InapplicableError without one."""
        rows = self.trained.sample(count, **self._shown(choice), seed=seed).split(COLUMNS)
        return self.trained.picture(rows, [""] * len(rows))

    def beside(self, choice: Choice, z: Tensor) -> Image.Image:
        """The chosen observation, and what the decoder makes of a code (latent,)."""
        row = torch.cat([self._seen(choice), self.trained.seen(self.decoded(z[None], choice))])
        return self.trained.kind.picture([row], [""])

    def _seen(self, choice: Choice) -> Tensor:
        return self.trained.seen(self.chosen(choice))

    def _example(self, choice: Choice) -> Observations:
        """The chosen one of the test split."""
        return self.subject.data.observations("test").at(torch.tensor([choice.place]))

    def _shown(self, choice: Choice) -> dict[str, Any]:
        """What the decoder is told, and shown of the observation itself."""
        seen = {"given": self.chosen(choice)} if sees_observation(self.trained.model.conditioner) else {}
        return {**self.told(choice), **seen}

    def _context(self, choice: Choice) -> Tensor | None:
        batch = batch_of(self.trained.model.conditioner, self._seen(choice), **self.told(choice))
        return self.trained.model.context(batch.map(lambda value: value.to(self.trained.device)))


def _one(values: Tensor | None) -> Tensor | None:
    """What is known of one observation, in the form that is told of any number of them."""
    return None if values is None else values[0]
