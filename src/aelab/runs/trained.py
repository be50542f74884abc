"""A trained model at work: codes, reconstructions, samples and likelihoods, with torch alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.distributions import Distribution

from aelab.cluster.devices import device_of
from aelab.config.construct import construct_recorded
from aelab.config.folders import searched_first
from aelab.core.errors import DataError, InapplicableError, RunError
from aelab.core.records import Batch
from aelab.core.seeds import drawn_from
from aelab.core.text import sizes
from aelab.data.kinds import Kind
from aelab.data.values import Values, valued
from aelab.metrics.importance import importance_sampled
from aelab.models import UNFITTED, Autoencoder
from aelab.models.conditions import Labels, Numbers, batch_of, sees_observation
from aelab.models.distributions.divergence import space
from aelab.models.distributions.spherical import spherical as on_the_arc
from aelab.runs.folder import Run
from aelab.runs.jobs import BLOCK, Jobs
from aelab.runs.model import model_of

Given = Any  # observations as a user has them: what the run's `Kind` parses


def load(
    path: str | Path, device: str | None = "cpu", conf: str | Path | None = None, trust: Sequence[str] = ()
) -> "Trained":
    """The model of a run's folder with the weights that validation chose.

    The folder is data, not code: see `Run.open`. device: None takes an accelerator, if there is one.
    conf, trust: a folder of configurations of your own and parts by name, which are trusted beside ours.
    Raises RunError for what is no run, was altered or lacks weights, ConfigurationError for a missing device.
    """
    with searched_first([] if conf is None else [conf], trust):
        return _loaded(Run.open(Path(path)), device)


def _loaded(run: Run, device: str | None) -> "Trained":
    place = device_of(device)
    model = model_of(run).to(place)
    try:
        shape = tuple(map(int, run.settings.model.shape))
        kind = construct_recorded(run.settings.data.kind, "data.kind")
        values = construct_recorded(run.settings.data["values"], "data.values")
        kind.check(shape, run.settings.data.bounds)
        names = tuple(map(str, run.settings.data.get("class_names") or ()))
        values.load(run.folder.read().get("values", {}))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        at = f"{run.folder.config} or {run.folder.record.name}"
        raise RunError(f"{at} does not say what the model takes ({error}): restore it") from error
    return Trained(model, run, shape, kind, values, place, names)


@dataclass(frozen=True, repr=False)
class Trained(Jobs):
    """A trained autoencoder. What it gives are float32 tensors on the CPU, in the units that it is given.

    Images come as tensors or PIL images. Floats in [0, 1] are taken as they are. Pixels, which are uint8
    tensors and PIL images, become floats as the run's own images did: where it binarised them, by a draw that
    follows from the image's own pixels, and so is the same at each call. Vectors come as tensors, arrays or
    lists, (N, D) or (D,), in the units of the run's own data; where it standardised these, the statistics of
    its training split lead to the model's units and back.

    y, attributes: what a conditional model is told, for all observations or for each; y by number or name.
    seed: None draws from torch's own generators; a number makes the draw repeatable and leaves those as is.
    resize: fit PIL images of another size. Methods raise DataError for observations or conditions that the
    model cannot take, and InapplicableError for what it cannot do.

    run: its folder, settings and fingerprint. shape, kind: of an observation. values: what the model sees.
    class_names: in the order of their labels; empty where they have none.
    """

    model: Autoencoder
    run: Run
    shape: tuple[int, ...]
    kind: Kind
    values: Values
    device: torch.device
    class_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        nouns = f"binarised {self.kind.nouns}" if self.binarised else self.kind.nouns
        name = self.run.settings.name
        return f"Trained({name!r}, {nouns} of {sizes(self.shape)}, codes of {self.latent})"

    @property
    def latent(self) -> int:
        """The size of a code."""
        return self.model.latent

    @property
    def binarised(self) -> bool:
        """Whether the model was trained on zeros and ones."""
        return self.values.binary

    def seen(self, x: Given, resize: bool = False) -> Tensor:
        """Observations as the model sees them: (N, *shape), float32; images in [0, 1]."""
        return valued(self.kind.parse(x, self.shape, resize), self.values)

    def picture(
        self, rows: Sequence[Tensor], captions: Sequence[str], columns: int | None = None
    ) -> Image.Image:
        """Rows of observations (N, *shape) in the user's units; captions, columns: as `Kind.picture`."""
        return self.kind.picture([valued(row, self.values) for row in rows], captions, columns)

    @torch.no_grad()
    def posterior(
        self, x: Given, y: Labels | None = None, attributes: Numbers | None = None, resize: bool = False
    ) -> Distribution:
        """q(z|x,c) of clean observations, batch shape (N,), on the model's device."""
        return self._posterior(self._batch(x, y, attributes, resize))

    def encode(
        self, x: Given, y: Labels | None = None, attributes: Numbers | None = None, resize: bool = False
    ) -> Tensor:
        """The means of their posteriors, (N, latent); of a flow, where the mean of its base is carried to."""
        return self._encode(self._batch(x, y, attributes, resize))

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        given: Given | None = None,
    ) -> Tensor:
        """The means of p(x|z,c) for codes (N, latent): (N, *shape).

        given: observations of which a model that sees a part of them is shown that part.
        """
        if z.dim() != 2 or z.shape[1] != self.latent or not len(z):
            raise DataError(f"the codes are {list(z.shape)}, and the model takes [N, {self.latent}]")
        told = self._told(len(z), y, attributes, given)
        return self._given_back(self._decode(z[part], _part(told, part)) for part in _blocks(len(z)))

    @torch.no_grad()
    def reconstruct(
        self,
        x: Given,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
        drawn: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """The means of p(x|z,c) for their posteriors' means: (N, *shape); drawn: for a code of each."""
        batch = self._batch(x, y, attributes, resize)
        if not drawn and seed is not None:
            raise DataError("nothing is drawn for a posterior's mean: leave seed out, or give drawn=True")
        with drawn_from(seed, self.device):
            parts = (_part(batch, part) for part in _blocks(len(batch.x)))
            return self._given_back(self._reconstruct(part, drawn) for part in parts)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        given: Given | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """The means of p(x|z,c) for codes of the prior: (count, *shape); given: as in `decode`."""
        self._require_prior("codes to decode")
        if count < 1:
            raise DataError(f"count={count}: at least one sample is needed")
        told = self._told(count, y, attributes, given)
        with drawn_from(seed, self.device):
            parts = (_part(told, part) for part in _blocks(count))
            conditional = self.model.conditioner is not None
            return self._given_back(self.model.sample(len(b.x), b if conditional else None) for b in parts)

    @torch.no_grad()
    def log_prob(
        self,
        x: Given,
        samples: int = 500,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """log p(x|c) in nats, (N,) float64, estimated from below by importance sampling (Burda et al. 2016).

        samples: of codes for each; with more the bias falls. Where the likelihood is of binary values and the
        model was trained on grey ones this is the customary cross-entropy, no probability. Of images it is a
        density of values in [0, 1]; of vectors one in the data's own units: for standardised ones what an
        evaluation measures, less `values.log_volume`, the sum of the log deviations.
        """
        self._require_prior(f"probability of {self.kind.nouns}")
        if not self.model.fitted:
            raise InapplicableError(UNFITTED)
        batch = self._batch(x, y, attributes, resize)
        if samples < 1:
            raise DataError(f"samples={samples}: at least one code is needed")
        if self.binarised and not bool(((batch.x == 0) | (batch.x == 1)).all()):
            raise DataError("the model's images are zeros and ones, and these floats are grey: give pixels")
        with drawn_from(seed, self.device):
            parts = (self._on(_part(batch, part)) for part in _blocks(len(batch.x)))
            log_p = _joined(importance_sampled(self.model, part, samples)[0] for part in parts)
        return log_p - self.values.log_volume

    @torch.no_grad()
    def interpolate(
        self,
        a: Given,
        b: Given,
        steps: int = 8,
        spherical: bool = False,
        y: Labels | None = None,
        attributes: Numbers | None = None,
        resize: bool = False,
    ) -> Tensor:
        """Observations between N of a and N of b, both ends included: (N, steps, *shape).

        spherical: along the arc between the codes, which keeps their norm. The condition is one for a pair,
        and what a model sees of the image is a's.
        """
        start, end = (self._batch(x, y, attributes, resize) for x in (a, b))
        if len(start.x) != len(end.x) or steps < 2:
            counts = f"{len(start.x)} {self.kind.nouns}, {len(end.x)} others, {steps} steps"
            raise DataError(f"{counts}: pairs and at least 2 steps")
        kind = space(self._posterior(_part(start, slice(1))))
        if kind not in ("real", "ball") and not (kind == "sphere" and spherical):
            fit = "give spherical=True" if kind == "sphere" else "between them there are no codes"
            raise InapplicableError(f"codes are no real vectors ({kind}): {fit}")
        ways = torch.linspace(0, 1, steps)[:, None]
        between = on_the_arc if spherical else torch.lerp
        paths = map(between, self._encode(start), self._encode(end), [ways] * len(start.x))
        rows = [self._decode(path, _part(start, torch.full((steps,), i))) for i, path in enumerate(paths)]
        return self._given_back(row[None] for row in rows)

    def _told_of(self, x: Tensor, y: Labels | None, attributes: Numbers | None) -> Batch:
        return batch_of(self.model.conditioner, x, y, attributes, self.class_names)

    def _told(self, count: int, y: Labels | None, attributes: Numbers | None, given: Given | None) -> Batch:
        """The conditions of `count` codes; observations are read by models alone that see a part of them."""
        if sees_observation(self.model.conditioner) != (given is not None):
            noun = self.kind.noun
            need = f"is shown a part of the {noun}: give" if given is None else f"sees no {noun}: leave out"
            raise InapplicableError(f"the model {need} given")
        x = torch.zeros(1, *self.shape) if given is None else self.seen(given)
        if len(x) not in (1, count):
            nouns = self.kind.nouns
            raise DataError(f"given holds {len(x)} {nouns}: one for all {count}, or one for each, are needed")
        return self._told_of(x.expand(count, *self.shape), y, attributes)

    def _on(self, batch: Batch) -> Batch:
        return batch.map(lambda value: value.to(self.device))

    def _posterior(self, batch: Batch) -> Distribution:
        batch = self._on(batch)
        return self.model.posterior_of(batch.x, self.model.context(batch))

    @torch.no_grad()
    def _encode(self, batch: Batch) -> Tensor:
        return _joined(self._posterior(_part(batch, part)).mean for part in _blocks(len(batch.x)))

    def _decode(self, z: Tensor, told: Batch) -> Tensor:
        told, z = self._on(told), z.to(self.device, torch.float32)
        return self.kind.back(self.model.likelihood_of(told.x, z[None], self.model.context(told)))[0]

    def _reconstruct(self, batch: Batch, drawn: bool) -> Tensor:
        posterior = self._posterior(batch)
        return self._decode(posterior.rsample() if drawn else posterior.mean, batch)

    def _given_back(self, parts: Iterable[Tensor]) -> Tensor:
        """Parts of what the model makes, as one tensor in the user's units."""
        return self.values.restore(_joined(parts))

    def _require_prior(self, what: str) -> None:
        if self.model.prior is None:
            raise InapplicableError(f"the model has no prior, and so no {what}: train one with a prior")


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, count, BLOCK))


def _part(batch: Batch, part: slice | Tensor) -> Batch:
    return batch.map(lambda value: value[part])


def _joined(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.cpu() for part in parts])
