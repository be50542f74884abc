"""What the page's sliders and buttons ask of a trained model: images to codes, codes to pictures."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelab.data.sources.decoding import decode
from aelab.distributions.divergence import space
from aelab.errors import InapplicableError
from aelab.evaluation.interpretability import spherical
from aelab.evaluation.subject import BLOCK, Subject
from aelab.figures import grid
from aelab.metrics.aggregate import kl_per_dimension
from aelab.records import Batch

REACH = 3.0  # standard deviations of the codes, to either side
SHORTEST = 0.1  # half of a slider for a dimension that stands still
EXAMPLES = BLOCK  # test images that codes are known of
COLUMNS = 8
NATS, VARIANCE = "nats", "of variance"


@dataclass(frozen=True)
class Choice:
    """An image, and what a conditional model is told of it.

    place: of a test image. upload: a file of the user's in its stead. label: in the place of the image's own.
    """

    place: int = 0
    upload: str | None = None
    label: int | None = None


@dataclass
class Explorer:
    """A model with its test images. `sliders` are the dimensions of a code worth moving, the best first."""

    subject: Subject

    @cached_property
    def examples(self) -> int:
        """How many test images can be chosen."""
        return len(self.subject.data.images("test"))

    @cached_property
    def real(self) -> bool:
        """Whether codes are real vectors, whose dimensions can be moved."""
        return space(next(self.subject.traces("test", 1)).posterior) == "real"

    @cached_property
    def codes(self) -> np.ndarray:
        """Of the first test images, (N, latent)."""
        return self.subject.codes("test", EXAMPLES)

    @cached_property
    def information(self) -> np.ndarray:
        """What each dimension tells of an image, (latent,), in `unit`."""
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
        told = self.information[: self.subject.model.posterior.decoded]
        return [int(i) for i in np.argsort(-told, kind="stable")[:most]]

    def reach(self, unit: int) -> tuple[float, float]:
        """How far a slider goes to either side."""
        column = self.codes[:, unit]
        middle, half = float(column.mean()), max(REACH * float(column.std()), SHORTEST)
        return round(middle - half, 2), round(middle + half, 2)

    def batch(self, choice: Choice) -> Batch:
        """The chosen image as a batch of one, binarised as in training, with the same draw at every call.

        The attributes of an upload are those of the test image. DataError for an upload that is no picture,
        InapplicableError for one without a label where the model is told it.
        """
        data = self.subject.data
        shown = data.images("test").at(torch.tensor([choice.place]))
        pixels, y = shown.x, shown.y
        if choice.upload is not None:
            if self.subject.label_conditional and choice.label is None:
                raise InapplicableError("the model is told an image's label: choose that of the upload")
            picture = decode(Path(choice.upload), data.shape, "the uploaded file")
            pixels = data.binarization.prepare(torch.from_numpy(picture.copy())[None])
        x = data.binarization(pixels.cpu(), torch.Generator().manual_seed(self.subject.seed))
        y = y if choice.label is None else torch.tensor([choice.label])
        return Batch(x, y, shown.attributes).map(lambda value: value.to(self.subject.device))

    @torch.no_grad()
    def code(self, choice: Choice) -> Tensor:
        """The posterior's mean, (latent,)."""
        batch = self.batch(choice)
        self.subject.fix_noise("explorer")
        return self.subject.model(batch, shown=batch.x).posterior.mean[0].flatten().float().cpu()

    @torch.no_grad()
    def decoded(self, codes: Tensor, choice: Choice) -> Tensor:
        """Means of p(x|z,c) for codes (K, latent) under the condition of the choice: (K, C, H, W)."""
        batch, model = self.batch(choice), self.subject.model
        z = codes[:, None].to(self.subject.device)
        return model.likelihood_of(batch.x, z, model.context(batch)).mean[:, 0].cpu()

    @torch.no_grad()
    def interpolation(self, a: Choice, b: Choice, steps: int, on_the_arc: bool) -> Image.Image:
        """From one image's code to another's; what the model is told goes along on a line.

        InapplicableError without real codes.
        """
        if not self.real:
            raise InapplicableError("codes are no real vectors, between which there would be a way")
        between = spherical if on_the_arc else torch.lerp
        way, model = torch.linspace(0, 1, steps)[:, None], self.subject.model
        path = between(self.code(a), self.code(b), way).to(self.subject.device)
        start, end = self.batch(a), self.batch(b)
        first, last = model.context(start), model.context(end)
        told = None if first is None or last is None else torch.lerp(first, last, way.to(path.device))
        x = start.x.expand(steps, *start.x.shape[1:])
        return grid([model.likelihood_of(x, path[None], told).mean[0].cpu()], [""])

    @torch.no_grad()
    def samples(self, count: int, choice: Choice, seed: int) -> Image.Image:
        """Means of p(x|z,c) for codes of the prior; InapplicableError without one."""
        if self.subject.model.prior is None:
            raise InapplicableError("the model has no prior to sample from")
        self.subject.fix_noise(f"explorer samples {seed}")
        given = self.batch(choice).map(lambda value: value.expand(count, *value.shape[1:]))
        told = None if self.subject.model.conditioner is None else given
        drawn = self.subject.model.sample(count, told).cpu()
        return grid(drawn.split(COLUMNS), [""] * len(drawn.split(COLUMNS)))
