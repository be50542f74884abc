"""How close samples are to images that the model never saw, in a named feature space."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.records import NO_ENCODER
from aelab.evaluation.features import FeatureSpace, Inception, RawValues, feature_space
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import BLOCK, Expected, Subject
from aelab.metrics.estimate import Estimate, mean
from aelab.metrics.generation import FRECHET, NEAREST, generation, nearest
from aelab.metrics.phrases import variety
from aelab.metrics.rows import likeness
from aelab.metrics.threads import one_thread
from aelab.models.conditions import sees_observation
from aelab.models.distributions.divergence import space

LABEL_ACCURACY = Quantity("label_accuracy", "fraction", True)

Space = FeatureSpace | Inception | RawValues
COLUMNS = 16
FLOOR = "generation_floor"
POOR, NARROW = 0.05, 0.5  # recall and relative spread below which samples are said to lack diversity


class Sampler(Protocol):
    """Where samples come from, if not from the prior."""

    def __call__(self, subject: Subject, count: int) -> Tensor:
        """`count` observations (count, *event), on the CPU."""

    def undefined(self, subject: Subject) -> str:
        """Why the model has no such samples; empty where it has."""


@dataclass
class ExPostMixture:
    """Codes of a Gaussian mixture that is fitted to those of training images (Ghosh et al. 2020).

    What it gives is the decoder's share in samples: models without a prior can be sampled too.
    components: of the mixture, with full covariances. images: whose codes it is fitted to.
    """

    components: int = 10
    images: int = 10_000

    def __post_init__(self) -> None:
        at_least(1, components=self.components, images=self.images)

    def undefined(self, subject: Subject) -> str:
        if subject.model.conditioner is not None:
            return "a mixture of all codes does not fit a conditional model"
        if subject.model.encoder is None:
            return NO_ENCODER
        if space(next(subject.traces("test", 1)).q) != "real":
            return "a Gaussian mixture does not fit codes that are no real vectors"
        return ""

    @torch.no_grad()
    def __call__(self, subject: Subject, count: int) -> Tensor:
        from sklearn.mixture import GaussianMixture

        if (few := subject.data.counts["train"]) <= self.components:
            raise InapplicableError(
                f"{few} training {subject.data.kind.nouns} are too few for a mixture of {self.components}"
            )
        mixture = GaussianMixture(self.components, random_state=subject.seed)
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of rounding, in codes that hardly vary
            known = subject.codes("train", self.images).astype(
                "float64"
            )  # in float32 weights may sum to more than 1
            codes = mixture.fit(known).sample(count)[0]
        z = torch.from_numpy(codes).float()[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
        subject.fix_noise("mixture")
        parts = (subject.model.decode(part[None].to(subject.device)) for part in z.split(BLOCK))
        return torch.cat([subject.model.sample_of(likelihood)[0].cpu() for likelihood in parts])


@dataclass
class Generation:
    """Distances of samples from test images, and of training images from them: the floor.

    count: of samples and of test images. name: of this part's estimates. sampler: None for the prior.
    train: how many training images neighbours are searched in; None: all.
    features: a kept feature network's file; None: the data set's own, which is trained if need be.
    inception: the file of the published Inception network, in whose features the distance is called FID.
    """

    count: int = 5000
    name: str = "generation"
    sampler: Sampler | None = None
    train: int | None = None
    features: str | None = None
    inception: str | None = None

    def __post_init__(self) -> None:
        at_least(4 * NEAREST, count=self.count, train=self.train)
        if self.features is not None and self.inception is not None:
            raise ConfigurationError("features and inception name two feature spaces: give one of them")

    def __call__(self, subject: Subject, findings: Findings) -> None:
        if why := self._undefined(subject):
            findings.undefined[self.name] = why
            return
        drawn = subject.samples(self.count) if self.sampler is None else self.sampler(subject, self.count)
        real_images = subject.expected("test", self.count)
        train_images = subject.expected("train", self.train)
        if not subject.data.kind.measurable:  # names, between which there is no distance
            self._named(subject, findings, drawn, real_images[:], train_images[:])
            return
        features = self._space(subject)
        drawn = drawn[: len(real_images)]
        if subject.data.bounds is not None:
            drawn = drawn.clamp(*subject.data.bounds)
        (real, _), (train, train_logits) = features(real_images), features(train_images)
        fake, fake_logits = features(drawn)
        with one_thread():
            found = generation(real, fake, train, fake_logits, subject.seed)
        note = f"in {features.name}" + _of_bits(real_images)
        copies = f"{note}, among {len(train):,} training {findings.noun}s"
        notes = dict.fromkeys(found, note) | {"memorisation": copies}
        findings.add(self.name, *_noted(found, notes, features))
        measured = features.name in findings.spaces
        spaces = findings.facts.setdefault("feature_space", {})
        spaces[self.name] = {"name": features.name, "task": features.task, "accuracy": features.accuracy}
        if not measured:
            some = self._unseen(subject, features)[: len(real)]
            with one_thread():
                # None: training images are copies of themselves.
                floor = generation(real, train[some], None, _at(train_logits, some), subject.seed)
            told = f"{note}, of {len(some):,} training {findings.noun}s in the place of samples"
            floor_of = f"{self.name}_floor" if len(spaces) > 1 else FLOOR
            noted = _noted(floor, dict.fromkeys(floor, told), features)
            findings.add(floor_of, *map(_undirected, noted))
        self._labels(subject, findings, features, fake_logits)
        if found["recall"].value < POOR or found["diversity"].value < NARROW:
            findings.alarms[f"{self.name}_low_diversity"] = (
                f"samples cover {found['recall'].value:.1%} of the test {findings.noun}s' features and lie "
                f"{found['diversity'].value:.2g} times as far from one another as {findings.noun}s do"
            )
        self._show(subject, findings, drawn, train_images, fake, train)

    def _named(
        self, subject: Subject, findings: Findings, drawn: Tensor, test: Tensor, train: Tensor
    ) -> None:
        """How varied sequences are, and what of them training sequences hold, beside test sequences; or how
        like test rows rows are, beside training rows."""
        kind, values = subject.data.kind, subject.data.values
        told = f"training {findings.noun}s"

        def written(x: Tensor) -> np.ndarray:
            return kind.rounded(values.restore(x)).numpy()

        if kind.sizes is None:
            measure = partial(variety, known=written(train))
            fake, floor, note = drawn[: len(test)], test, f"among {len(train):,} {told}"
        else:
            measure = partial(likeness, real=written(test), sizes=kind.sizes, seed=subject.seed)
            fake, floor = drawn[: len(train)], train[: len(drawn)]
            note = f"beside {len(test):,} test {findings.noun}s"
        findings.add(self.name, *(_beside(each, note) for each in measure(written(fake))))
        of_floor = note if kind.sizes is None else f"of {told} in the place of samples, {note}"
        findings.add(FLOOR, *(_undirected(_beside(each, of_floor)) for each in measure(written(floor))))
        shown = list(drawn[:COLUMNS, None])
        findings.figure(f"{self.name}_samples", kind.picture(shown, [""] * len(shown)))

    def _unseen(self, subject: Subject, features: Space) -> Tensor:
        """Which of the compared training observations the space was not learned from, by place."""
        compared = subject.data.train_rows[subject.data.drawn("train", self.train)]
        return (~torch.isin(compared, features.shown)).nonzero()[:, 0]

    def _undefined(self, subject: Subject) -> str:
        """Why the model has no samples that could be compared."""
        if sees_observation(subject.model.conditioner):
            return "samples hold the parts of the test images that the model is told"
        if self.sampler is None and subject.model.prior is None:
            return "the model has no prior to sample from"
        return "" if self.sampler is None else self.sampler.undefined(subject)

    def _space(self, subject: Subject) -> Space:
        if not subject.data.kind.learns_features:
            if self.features or self.inception:
                raise ConfigurationError(
                    f"features and inception are networks of images, and {subject.data.name} holds "
                    f"{subject.data.kind.nouns}, whose values are compared: leave them out"
                )
            return RawValues(str(subject.data.name))
        if self.inception is not None:
            return Inception(self.inception, subject.device)
        return feature_space(subject.data, subject.device, self.features)

    def _labels(self, subject: Subject, findings: Findings, features: Space, logits: Tensor | None) -> None:
        """Whether samples for a label are read as it."""
        if (
            logits is not None
            and self.sampler is None
            and subject.label_conditional
            and features.task == "labels"
        ):
            asked = torch.from_numpy(subject.labels("test", len(logits)))
            right = (logits.argmax(1) == asked).numpy()
            findings.add(self.name, mean(right, LABEL_ACCURACY, f"read by {features.name}"))

    def _show(
        self,
        subject: Subject,
        findings: Findings,
        drawn: Tensor,
        train_images: Expected,
        fake: Tensor,
        train: Tensor,
    ) -> None:
        picture = subject.data.kind.picture
        shown = drawn[: COLUMNS * COLUMNS // 2].split(COLUMNS)
        findings.figure(f"{self.name}_samples", picture(shown, [""] * len(shown)))
        some = fake[:1000]
        distance, index = nearest(some, train)
        closest = distance.argsort()[:COLUMNS]
        rows = [drawn[closest], train_images[index[closest]]]
        neighbours = picture(rows, ["sample", "training"], COLUMNS)
        findings.figure(f"{self.name}_nearest_training_{subject.data.kind.nouns}", neighbours)


def _noted(found: Mapping[str, Estimate], notes: Mapping[str, str], features: Space) -> Iterator[Estimate]:
    """With what they were measured in: only Inception's distance is called FID."""
    for name, each in found.items():
        called = features.distance if name == FRECHET.name else name
        quantity = replace(each.quantity, name=called)
        yield replace(each, quantity=quantity, note=f"{notes[name]} {each.note}".strip())


def _beside(found: Estimate, note: str) -> Estimate:
    return replace(found, note=f"{note} {found.note}".strip())


def _at(logits: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if logits is None else logits[rows]


def _undirected(found: Estimate) -> Estimate:
    """A number of the data alone, which no model can better."""
    return replace(found, quantity=replace(found.quantity, higher_is_better=None))


def _of_bits(images: Expected) -> str:
    """What a distance owes to the images: means of p(x|z,c) are grey where images were binarised for good."""
    some = images[: 10 * COLUMNS]
    return ", of images in black and white" if bool(((some == 0) | (some == 1)).all()) else ""
