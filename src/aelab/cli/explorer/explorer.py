"""What the page's sliders and buttons ask of a trained model: observations to codes, codes to pictures."""

import io
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue
from PIL import Image
from torch import Tensor

from aelab.config.construct import construct
from aelab.config.folders import choices, file_of
from aelab.core.errors import AelabError, DataError, InapplicableError
from aelab.core.seeds import drawn_from
from aelab.data.splits import Observations
from aelab.data.values import valued
from aelab.evaluation.subject import BLOCK, Subject
from aelab.figures.grids import headed
from aelab.figures.images import as_images
from aelab.figures.wav import sound_of, with_sound
from aelab.jobs.anomaly import NegativeElbo, ReconstructionError, Reference
from aelab.jobs.degradation import Degradation
from aelab.jobs.threshold import Threshold
from aelab.models.conditions import batch_of, sees_observation
from aelab.models.distributions.divergence import space
from aelab.models.distributions.spherical import spherical
from aelab.runs.jobs import split_of
from aelab.runs.trained import Trained

REACH = 3.0  # standard deviations of the codes, to either side
SHORTEST = 0.1  # half of a slider for a dimension that stands still
EXAMPLES = BLOCK  # of the test split, that codes are known of
COLUMNS = 8
LARGE = 4  # times as large as in a grid are observations side by side


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

    @property
    def sliders(self) -> list[int]:
        """The dimensions that the decoder reads, the one that tells most first."""
        order = self.subject.dimensions.order if self.real else ()
        return [int(unit) for unit in order if unit < self.subject.model.decoded]

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
        return self._row(input=self._seen(choice), output=self.trained.seen(self.decoded(z[None], choice)))

    def restored(self, choice: Choice, degradation: Degradation, seed: int) -> tuple[Image.Image, str]:
        """The chosen observation damaged and restored, and its squared errors before and after."""
        x = self._seen(choice)
        left = self.trained.degrade(self.chosen(choice), degradation, seed=seed)
        found = self.trained.restore(left, degradation, **self.told(choice), seed=seed)
        back = valued(found.mean, self.trained.values)
        doubt = found.deviation / found.deviation.amax().clamp_min(1e-12)
        before, after = (float((each - x).square().mean()) for each in (left.shown, back))
        picture = self._row(whole=x, damaged=left.shown, restored=back, uncertainty=doubt)
        return picture, f"Squared error of a value: {before:.4f} damaged, {after:.4f} restored."

    def detected(self, choice: Choice) -> tuple[Image.Image, str]:
        """Where the chosen observation does not come back, its score, and its place among validation's."""
        given, told = self.chosen(choice), self.told(choice)
        error = self.trained.error_map(given, **told)
        back = valued(self.trained.reconstruct(given, **told), self.trained.values)
        score = self.trained.anomaly(given, **told)
        share = float(Threshold(self.normal).p_values(score)[0])
        error = error / error.amax().clamp_min(1e-12)
        picture = self._row(input=self._seen(choice), output=back, error=error)
        name = "bound, nats" if self.trained.model.prior is not None else "squared error"
        noun = self.trained.kind.nouns
        return picture, f"Score ({name}): {score[0]:.4g}. {share:.1%} of validation's {noun} score as high."

    @cached_property
    def normal(self) -> Tensor:
        """The scores of the validation split's first observations, (N,)."""
        parts = split_of(self.subject.data, "val", EXAMPLES, self.trained.device)
        score = NegativeElbo() if self.trained.model.prior is not None else ReconstructionError()
        score.fit(Reference(self.trained.model))
        with torch.no_grad(), drawn_from(0, self.trained.device):
            return torch.cat([score(part).cpu() for part in parts])

    def compressed(self, choice: Choice, count: int) -> str:
        """The sizes of so many of the test split from the chosen one on, coded by the model and otherwise."""
        last = min(choice.place + count, self.examples)
        places = torch.arange(choice.place, last)
        x = self.trained.seen(self.subject.data.observations("test").at(places).x.cpu())
        if self.trained.model.conditioner is not None:
            raise InapplicableError(
                "a model that is told labels compresses the images of one of them: aelab compress label=..."
            )
        size, files = len(self.trained.compress(x)), [png_size(image) for image in x]
        bits = 8 * size / x.numel()
        return (
            f"{len(x)} {self.trained.kind.nouns}: {size:,} bytes by the model ({bits:.3f} bits for each "
            f"value), {sum(files):,} as PNG files."
        )

    def _row(self, **shown: Tensor) -> Image.Image:
        """Observations (1, *shape) side by side, under their names."""
        kind = self.trained.kind
        picture = kind.picture([torch.cat(list(shown.values()))], [""])
        if not kind.in_columns:
            return picture
        large = picture.resize((picture.width * LARGE, picture.height * LARGE), Image.Resampling.NEAREST)
        return with_sound(headed(large, [""], list(shown)), partial(sound_of, picture))

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


def png_size(image: Tensor) -> int:
    """The bytes of an image (C, H, W) in [0, 1] as a PNG file, of one bit a pixel where it is binary."""
    file, (shown,) = io.BytesIO(), as_images(image)
    binary = bool(((image == 0) | (image == 1)).all()) and shown.mode == "L"
    (shown.convert("1") if binary else shown).save(file, "png", optimize=True)
    return file.tell()


def damages(shape: tuple[int, ...]) -> dict[str, Degradation]:
    """The degradations of observations of a shape, as conf/ has them; none that wants a file."""
    found = {}
    for name in choices("degradation"):
        with suppress(AelabError, MissingMandatoryValue):
            node = OmegaConf.load(file_of(f"degradation/{name}"))
            OmegaConf.to_container(node, throw_on_missing=True)
            found[name] = construct(node, f"degradation.{name}")
            found[name].check(shape)
    return found


def _one(values: Tensor | None) -> Tensor | None:
    """What is known of one observation, in the form that is told of any number of them."""
    return None if values is None else values[0]
