"""The named space in which samples are compared with images: a small classifier for each data set.

It is trained once, on half of the images that the data set's source gives for training, whatever a run's
validation split is, and kept in the cache with the checksums of what it saw. No floor is measured on what it
learned from, which lies otherwise in its features than what it never saw. Distances in them compare only
among evaluations by the same network, so its hash stands beside them; they are no Inception distances.
"""

import hashlib
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import AelabError, ConfigurationError
from aelab.core.records import Sizes
from aelab.core.text import first_line
from aelab.data.module import DataModule
from aelab.data.sources.cache import cache_folder
from aelab.data.splits import Observations, subset
from aelab.evaluation.subject import Expected, Subject
from aelab.models.networks.conv import ConvEncoder
from aelab.models.posteriors.base import head
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load

CHANNELS, KERNEL, FEATURES = (16, 32), 5, 64
EPOCHS, BATCH_SIZE, LEARNING_RATE = 2, 128, 4e-3
STEPS = 400  # at least, which takes small data sets more epochs
HELD_OUT = 0.1  # of the images, for the accuracy
IMAGES = 60_000  # at most, of a larger data set
ROTATIONS = 4
KEPT = ".features"  # no data set can have this name, and so none its files there
RECIPE = 4  # to be raised with every change of what a network learns


class Classifier(nn.Module):
    """forward: x (B, C, H, W) in [0, 1] -> features (B, 64), class logits (B, classes).

    scale: divides the features, so that those of images have a mean variance of 1 and distances a unit.
    """

    scale: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        encoder = ConvEncoder(Sizes(shape), CHANNELS, kernel=KERNEL)
        self.body = nn.Sequential(encoder, head(encoder.features, FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return features / self.scale, self.head(features)


@dataclass(frozen=True)
class FeatureSpace:
    """A trained network and what is known of it.

    name: of the space, as "classifier/mnist@1f2e3d4c", with the beginning of the weights' hash.
    task: "labels", or "rotations" by quarter turns where the data have no labels.
    accuracy: on held-out images, a share.
    shown: the places of the source's training images that it was shown, (K,) int64.
    """

    network: Classifier
    name: str
    task: str
    accuracy: float
    shown: Tensor
    distance: ClassVar[str] = "frechet"

    @torch.no_grad()
    def __call__(self, images: Tensor | Expected, batch_size: int = 500) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [0, 1] -> features (N, 64) and class logits, on the CPU."""
        device = next(self.network.parameters()).device
        found = [self.network(part.to(device)) for part in _parts(images, batch_size)]
        features, logits = zip(*found, strict=True)
        return torch.cat(features).cpu(), torch.cat(logits).cpu()


class Inception:
    """The Inception network of the Frechet Inception distance, from its published TorchScript file, for users
    who have it at hand (inception-2015-12-05.pt of StyleGAN's authors; Heusel et al. 2017).

    Raises ConfigurationError for a file that is no such network.
    """

    name, task, accuracy = "inception", "ImageNet", None
    distance = "fid"
    shown = torch.empty(0, dtype=torch.long)

    def __init__(self, path: str | Path, device: torch.device) -> None:
        try:
            self.network = torch.jit.load(Path(path), device).eval()
            found = self.network(
                torch.zeros(1, 3, 32, 32, dtype=torch.uint8, device=device), return_features=True
            )
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            reason = first_line(error).partition(". ")[0]
            raise ConfigurationError(
                f"inception={path} is not the published TorchScript file ({reason}): leave it out"
            ) from error
        if found.shape != (1, 2048):
            raise ConfigurationError(
                f"inception={path} gives features {tuple(found.shape)} where Inception's are (1, 2048)"
            )
        self.device = device

    @torch.no_grad()
    def __call__(self, images: Tensor | Expected, batch_size: int = 100) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [0, 1] -> features (N, 2048) and log class probabilities, on the CPU."""
        features, logits = [], []
        for part in _parts(images, batch_size):
            grey_levels = (part * 255).round().to(torch.uint8).expand(-1, 3, -1, -1).to(self.device)
            features.append(self.network(grey_levels, return_features=True).float().cpu())
            probabilities = self.network(grey_levels, no_output_bias=True)
            logits.append(probabilities.float().clamp_min(1e-30).log().cpu())
        return torch.cat(features), torch.cat(logits)


class RawValues:
    """The values as they are: the space of observations that no network is asked about.

    name: as "values/wine".
    """

    task, accuracy, distance = "none", None, "frechet"
    shown = torch.empty(0, dtype=torch.long)

    def __init__(self, name: str) -> None:
        self.name = f"values/{name}"

    def __call__(self, images: Tensor | Expected) -> tuple[Tensor, None]:
        """Observations (N, *event) -> their values (N, D), and no classes."""
        return images[: len(images)].flatten(1).cpu(), None


def _parts(images: Tensor | Expected, size: int) -> Iterator[Tensor]:
    return (images[start : start + size] for start in range(0, len(images), size))


def feature_space(data: DataModule, device: torch.device, path: str | Path | None = None) -> FeatureSpace:
    """The network of a data set: that at `path`, else the kept one, else one that is trained and kept now.

    A kept one that is damaged is trained again.
    Raises ConfigurationError for a file at `path` that is damaged, or was made for other data.
    """
    known = {
        "data": data.name, "checksums": data.checksums, "shape": list(data.shape), "labels": data.classes,
        "recipe": RECIPE,
    }  # fmt: skip
    if path is not None:
        return _opened(Path(path), known, data, device)
    key = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:16]
    kept = cache_folder() / KEPT / f"{key}.ckpt"
    if kept.is_file():
        try:
            return _opened(kept, known, data, device)
        except AelabError as error:
            print(f"warning: the feature network is trained again: {error}", file=sys.stderr)
    # Two evaluations may train it at once, and the later takes the place.
    AtomicCheckpointIO().save_checkpoint({**known, **_trained(data, device)}, kept)
    return _opened(kept, known, data, device)


def _opened(path: Path, known: Mapping[str, Any], data: DataModule, device: torch.device) -> FeatureSpace:
    try:
        kept = load(path)
    except AelabError as error:
        raise ConfigurationError(f"the feature network cannot be read: {error}") from error
    differing = [name for name in known if not isinstance(kept, dict) or kept.get(name) != known[name]]
    if differing:
        made_for = kept.get("data") if isinstance(kept, dict) else None
        raise ConfigurationError(
            f"the feature network {path} was made for other data ({made_for}; {', '.join(differing)} "
            f"differ) than {data.name}: leave it out, and one is trained and kept"
        )
    try:
        network = Classifier(tuple(data.shape), kept["classes"]).to(device).eval()
        network.load_state_dict(kept["weights"])
        name = f"classifier/{data.name}@{kept['sha256'][:8]}"
        return FeatureSpace(network, name, kept["task"], kept["accuracy"], kept["shown"])
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ConfigurationError(f"{path} holds no feature network of this project: leave it out") from error


@contextmanager
def _reproducible() -> Iterator[None]:
    """One thread and torch's own products, whatever the evaluation takes: the same weights for all."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


@_reproducible()
def _trained(data: DataModule, device: torch.device) -> dict[str, Any]:
    """Weights and accuracy of a network trained on half of the source's own training images."""
    images = data.source.load().train
    order, labels = subset(min(IMAGES, -(-len(images) // 2)), len(images)), images.y
    known = order[:0] if labels is None or not data.classes else order[labels[order] >= 0]
    task, order = ("labels", known) if len(known) > 1 else ("rotations", order)
    classes = int(data.classes or 0) if task == "labels" else ROTATIONS
    generator = torch.Generator().manual_seed(0)
    held_out, shown = order.tensor_split([max(1, round(HELD_OUT * len(order)))])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = Classifier(tuple(data.shape), classes).to(device)
    _fit(network, images, shown, task, generator, device)
    network.eval()
    with torch.no_grad():
        parts = [_batch(images, rows, task, generator, device) for rows in held_out.split(500)]
        features, logits = map(torch.cat, zip(*(network(x) for x, _ in parts), strict=True))
        right = int((logits.argmax(1) == torch.cat([y for _, y in parts])).sum())
        if len(features) > 1 and (spread := features.var(0).mean().sqrt()) > 0:
            network.scale.copy_(spread)
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    return {
        "weights": weights,
        "sha256": _hash(weights),
        "task": task,
        "classes": classes,
        "accuracy": right / len(held_out),
        "shown": order,
    }


def _fit(
    network: Classifier,
    images: Observations,
    rows: Tensor,
    task: str,
    generator: torch.Generator,
    device: torch.device,
) -> None:
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    batches_each = -(-len(rows) // BATCH_SIZE)
    epochs = max(EPOCHS, -(-STEPS // batches_each))
    steps = epochs * batches_each
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    orders = (rows[torch.randperm(len(rows), generator=generator)] for _ in range(epochs))
    batches = (part for order in orders for part in order.split(BATCH_SIZE))
    for part in Subject.track(batches, "feature network", steps):
        x, y = _batch(images, part, task, generator, device)
        optimizer.zero_grad()
        F.cross_entropy(network(x)[1], y).backward()
        optimizer.step()
        schedule.step()


def _batch(
    images: Observations, rows: Tensor, task: str, generator: torch.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and what the network shall tell of them."""
    found = images.at(rows)
    x = found.x.float() / 255
    if task == "labels":
        assert found.y is not None
        return x.to(device), found.y.to(device)
    turns = torch.randint(ROTATIONS, (len(x),), generator=generator)
    square = min(x.shape[-2:])  # a quarter turn needs one; what is cut off is the same for all turns
    x = x[..., :square, :square]
    turned = torch.stack([image.rot90(int(n), (1, 2)) for image, n in zip(x, turns, strict=True)])
    full = F.pad(turned, (0, found.x.shape[-1] - square, 0, found.x.shape[-2] - square))
    return full.to(device), turns.to(device)


def _hash(weights: dict[str, Tensor]) -> str:
    buffer = io.BytesIO()
    for name, value in sorted(weights.items()):
        buffer.write(name.encode() + value.numpy().tobytes())
    return hashlib.sha256(buffer.getvalue()).hexdigest()
