"""A trained model at work: codes, reconstructions, samples and likelihoods, with torch alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.cluster.devices import device_of
from aelab.config.construct import construct_recorded
from aelab.config.folders import searched_first
from aelab.core.errors import DataError, InapplicableError, RunError
from aelab.core.records import Batch
from aelab.core.seeds import drawn_from
from aelab.core.text import sizes
from aelab.data.values import Binarization, Grey, valued
from aelab.figures.images import Pictures, as_tensor
from aelab.metrics.importance import importance_sampled
from aelab.models import Autoencoder
from aelab.models.conditions import Labels, Numbers, batch_of, sees_observation
from aelab.models.distributions.divergence import space
from aelab.models.distributions.spherical import spherical as on_the_arc
from aelab.runs.folder import Run
from aelab.runs.model import model_of

BLOCK = 500  # images that pass at once, whatever their number


def load(path: str | Path, device: str | None = "cpu", conf: str | Path | None = None) -> "Trained":
    """The model of a run's folder with the weights that validation chose.

    The folder is data, not code: see `Run.open`. device: None takes an accelerator, if there is one.
    conf: a folder of configurations of your own, as `--config-dir`, whose parts are trusted beside ours.
    Raises RunError for a folder that is no run, was altered, or holds no whole weights, and
    ConfigurationError for a device that is not there.
    """
    with searched_first([] if conf is None else [conf]):
        return _loaded(Run.open(Path(path)), device)


def _loaded(run: Run, device: str | None) -> "Trained":
    place = device_of(device)
    model = model_of(run).to(place)
    try:
        shape = tuple(map(int, run.settings.model.shape))
        binarization = construct_recorded(run.settings.data.binarization, "data.binarization")
        binarization.draws_once  # noqa: B018
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{run.folder.config} does not say what images the model takes: restore it") from error
    return Trained(model, run, shape, binarization, place)


@dataclass(frozen=True, repr=False)
class Trained:
    """A trained autoencoder. Images come as tensors or PIL images and go as float32 tensors on the CPU.

    Floats in [0, 1] are taken as they are. Pixels, which are uint8 tensors and PIL images, become floats as
    the run's own images did: where it binarised them they are binarised, by a draw that follows from the
    image's own pixels, and so is the same at each call.

    y, attributes: what a conditional model is told, for all images or for each. seed: None draws from torch's
    own generators; a number makes the draw repeatable and leaves those generators as they were.
    resize: fit PIL images of another size. Methods raise DataError for images or conditions that the model
    cannot take, and InapplicableError for what it cannot do.

    run: its folder, settings and fingerprint. shape: (C, H, W) of an image.
    """

    model: Autoencoder
    run: Run
    shape: tuple[int, ...]
    binarization: Binarization
    device: torch.device

    def __repr__(self) -> str:
        kind = "binarised images" if self.binarised else "images"
        name, size = self.run.settings.name, sizes(self.shape)
        return f"Trained({name!r}, {kind} of {size}, codes of {self.latent})"

    @property
    def latent(self) -> int:
        """The size of a code."""
        return self.model.latent

    @property
    def binarised(self) -> bool:
        """Whether the model was trained on images of zeros and ones."""
        return not isinstance(self.binarization, Grey)

    def values(self, images: Pictures, resize: bool = False) -> Tensor:
        """Images as the model sees them: (N, C, H, W), float32 in [0, 1]."""
        x = as_tensor(images, self.shape, resize)
        if x.dtype != torch.uint8:
            return x.cpu()
        return valued(x.cpu(), self.binarization)

    @torch.no_grad()
    def posterior(
        self,
        images: Pictures,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
    ) -> Distribution:
        """q(z|x,c) of clean images, batch shape (N,), on the model's device."""
        return self._posterior(self._batch(images, y, attributes, resize))

    def encode(
        self,
        images: Pictures,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
    ) -> Tensor:
        """The means of their posteriors, (N, latent); of a flow, where the mean of its base is carried to."""
        return self._encode(self._batch(images, y, attributes, resize))

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        given: Pictures | None = None,
    ) -> Tensor:
        """The means of p(x|z,c) for codes (N, latent): (N, C, H, W).

        given: images of which a model that sees a part of the image is shown that part.
        """
        if z.dim() != 2 or z.shape[1] != self.latent or not len(z):
            raise DataError(f"the codes are {list(z.shape)}, and the model takes [N, {self.latent}]")
        told = self._told(len(z), y, attributes, given)
        return _joined(self._decode(z[part], _part(told, part)) for part in _blocks(len(z)))

    @torch.no_grad()
    def reconstruct(
        self,
        images: Pictures,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
        drawn: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """The means of p(x|z,c) for their posteriors' means: (N, C, H, W).

        drawn: for one code drawn from each posterior instead, as an evaluation measures.
        """
        batch = self._batch(images, y, attributes, resize)
        if not drawn and seed is not None:
            raise DataError("nothing is drawn for a posterior's mean: leave seed out, or give drawn=True")
        with drawn_from(seed, self.device):
            return _joined(self._reconstruct(_part(batch, part), drawn) for part in _blocks(len(batch.x)))

    @torch.no_grad()
    def sample(
        self,
        count: int,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        given: Pictures | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The means of p(x|z,c) for codes of the prior: (count, C, H, W); given: as in `decode`."""
        self._require_prior("codes to decode")
        if count < 1:
            raise DataError(f"count={count}: at least one sample is needed")
        told = self._told(count, y, attributes, given)
        with drawn_from(seed, self.device):
            parts = (_part(told, part) for part in _blocks(count))
            return _joined(self.model.sample(len(b.x), b if self.model.conditioner else None) for b in parts)

    @torch.no_grad()
    def log_prob(
        self,
        images: Pictures,
        samples: int = 500,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """log p(x|c) in nats, (N,) float64, estimated from below by importance sampling (Burda et al. 2016).

        samples: codes for each image; with more of them the bias falls. Where the likelihood is of binary
        values and the model was trained on grey ones this is the customary cross-entropy, no probability.
        """
        self._require_prior("probability of an image")
        batch = self._batch(images, y, attributes, resize)
        if samples < 1:
            raise DataError(f"samples={samples}: at least one code is needed")
        if self.binarised and not bool(((batch.x == 0) | (batch.x == 1)).all()):
            raise DataError("the model's images are zeros and ones, and these floats are grey: give pixels")
        with drawn_from(seed, self.device):
            parts = (self._on(_part(batch, part)) for part in _blocks(len(batch.x)))
            return _joined(importance_sampled(self.model, part, samples)[0] for part in parts)

    @torch.no_grad()
    def interpolate(
        self,
        a: Pictures,
        b: Pictures,
        steps: int = 8,
        spherical: bool = False,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
    ) -> Tensor:
        """Images between N images a and N images b, both ends included: (N, steps, C, H, W).

        spherical: along the arc between the codes, which keeps their norm. The condition is one for a pair,
        and what a model sees of the image is a's.
        """
        start, end = (self._batch(images, y, attributes, resize) for images in (a, b))
        if len(start.x) != len(end.x) or steps < 2:
            raise DataError(
                f"{len(start.x)} images, {len(end.x)} others, {steps} steps: pairs and at least 2 steps"
            )
        kind = space(self._posterior(_part(start, slice(1))))
        if kind != "real" and not (kind == "sphere" and spherical):
            fit = "give spherical=True" if kind == "sphere" else "between them there are no codes"
            raise InapplicableError(f"codes are no real vectors ({kind}): {fit}")
        ways = torch.linspace(0, 1, steps)[:, None]
        between = on_the_arc if spherical else torch.lerp
        pairs = zip(self._encode(start), self._encode(end), strict=True)
        paths = (between(*pair, ways) for pair in pairs)
        rows = [self._decode(path, _repeated(start, i, steps)) for i, path in enumerate(paths)]
        return torch.stack(rows).cpu()

    def _batch(self, images: Pictures, y: Labels | None, attributes: Numbers | None, resize: bool) -> Batch:
        return batch_of(self.model.conditioner, self.values(images, resize), y, attributes)

    def _told(
        self, count: int, y: Labels | None, attributes: Numbers | None, given: Pictures | None
    ) -> Batch:
        """The conditions of `count` codes; the images are read by models alone that see a part of them."""
        if sees_observation(self.model.conditioner) != (given is not None):
            need = "is shown a part of an image: give" if given is None else "sees no image: leave out"
            raise InapplicableError(f"the model {need} given")
        x = torch.zeros(1, *self.shape) if given is None else self.values(given)
        if len(x) not in (1, count):
            raise DataError(f"given holds {len(x)} images: one for all {count}, or one for each, are needed")
        return batch_of(self.model.conditioner, x.expand(count, *self.shape), y, attributes)

    def _on(self, batch: Batch) -> Batch:
        return batch.map(lambda value: value.to(self.device))

    def _posterior(self, batch: Batch) -> Distribution:
        batch = self._on(batch)
        return self.model.posterior_of(batch.x, self.model.context(batch))

    @torch.no_grad()
    def _encode(self, batch: Batch) -> Tensor:
        return _joined(self._posterior(_part(batch, part)).mean for part in _blocks(len(batch.x)))

    def _decode(self, z: Tensor, told: Batch) -> Tensor:
        told = self._on(told)
        z = z.to(self.device, torch.float32)
        return self.model.likelihood_of(told.x, z[None], self.model.context(told)).mean[0]

    def _reconstruct(self, batch: Batch, drawn: bool) -> Tensor:
        posterior = self._posterior(batch)
        return self._decode(posterior.rsample() if drawn else posterior.mean, batch)

    def _require_prior(self, what: str) -> None:
        if self.model.prior is None:
            raise InapplicableError(f"the model has no prior, and so no {what}: train one with a prior")


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))


def _part(batch: Batch, part: slice) -> Batch:
    return batch.map(lambda value: value[part])


def _repeated(batch: Batch, row: int, count: int) -> Batch:
    return batch.map(lambda value: value[row : row + 1].expand(count, *value.shape[1:]))


def _joined(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat([part.cpu() for part in parts])
