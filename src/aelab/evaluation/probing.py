"""What classifiers read from codes, beside pixels, PCA and the codes of a network that learned nothing."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject
from aelab.metrics.estimate import Estimate, mean
from aelab.metrics.representation.clustering import clustering
from aelab.metrics.representation.probes import few_label_probe, linear_probe, nearest_neighbours
from aelab.metrics.threads import one_thread
from aelab.models import Autoencoder

FINE_TUNED = Quantity("fine_tuned", "fraction", True)
RETRIEVED = Quantity("retrieved", "fraction", True)
ASKED, ANSWERS = 8, 9  # rows and columns of the picture of neighbours
BATCH = 100
Codes = tuple[np.ndarray, np.ndarray]  # of training and of test observations


@dataclass
class Probing:
    """Accuracies of probes of the codes and of three other spaces, how clusters there agree with classes, of
    the encoder fine-tuned on labels from its own weights and from none, and the nearest observations by code.

    train, test: how many labelled observations; None: all. per_class: labels of each class, in turn.
    draws: of these. epochs: of fine-tuning. components: of PCA; None: as many as a code has.
    """

    train: int | None = 10_000
    test: int | None = 5000
    per_class: Sequence[int] = (10, 50, 200)
    draws: int = 5
    epochs: int = 3
    components: int | None = None

    def __post_init__(self) -> None:
        at_least(2, train=self.train, test=self.test, draws=self.draws)
        at_least(1, epochs=self.epochs, components=self.components)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        subject.check_untold()
        known, asked = (self._known(subject, split) for split in ("train", "test"))
        untrained = replace(subject, model=unlearned(subject.model, subject.seed))
        spaces = self._spaces(subject, untrained, known[0], asked[0])
        for space, codes in subject.track(spaces.items(), "spaces"):
            with one_thread():
                found = list(self._probes(codes, known[1], asked[1], findings, space))
                found += self._clusters(codes, asked[1], subject.seed, findings, space)
            findings.add("probing", *(_of(each, space) for each in found))
        tuned = {"codes": subject.model, "untrained": untrained.model}
        for space, model in subject.track(tuned.items(), "fine-tuning"):
            right = self._tuned(subject, model, known, asked)
            findings.add("probing", _of(mean(right, FINE_TUNED, f"{self.epochs} epochs"), space))
        self._show(subject, findings, spaces["codes"], known, asked)

    def _known(self, subject: Subject, split: str) -> tuple[Tensor, np.ndarray]:
        """The first observations of a split whose label is known, (K, *event), and these, (K,)."""
        labels = subject.labels(split)
        count = self.train if split == "train" else self.test
        places = np.flatnonzero(labels >= 0)[:count]
        if not len(places):
            raise InapplicableError(f"no label of the {split} {subject.data.kind.nouns} is known")
        x = torch.cat([batch.x for _, batch in subject.batches(split, int(places[-1]) + 1)])
        return x[torch.from_numpy(places).to(x.device)], labels[places]

    def _spaces(self, subject: Subject, untrained: Subject, train: Tensor, test: Tensor) -> dict[str, Codes]:
        from sklearn.decomposition import PCA

        rows = [each.flatten(1).cpu().numpy() for each in (train, test)]
        size = min(self.components or subject.model.latent, *rows[0].shape)
        pca = PCA(size, random_state=subject.seed).fit(rows[0])
        return {
            "codes": (means(subject.model, train), means(subject.model, test)),
            "values": (rows[0], rows[1]),
            "pca": (pca.transform(rows[0]), pca.transform(rows[1])),
            "untrained": (means(untrained.model, train), means(untrained.model, test)),
        }

    def _probes(
        self, codes: Codes, known: np.ndarray, asked: np.ndarray, findings: Findings, space: str
    ) -> Iterator[Estimate]:
        yield linear_probe(codes[0], known, codes[1], asked)
        yield nearest_neighbours(codes[0], known, codes[1], asked)
        yield mean(_alike(codes, known, asked), RETRIEVED, "of 10 nearest, those of the same label")
        for budget in self.per_class:
            try:
                found = few_label_probe(codes[0], known, codes[1], asked, budget, self.draws)
            except InapplicableError as error:
                findings.left_out[f"probing/few_label_probe_{budget}_{space}"] = str(error)
                continue
            yield replace(found, quantity=replace(found.quantity, name=f"few_label_probe_{budget}"))

    def _clusters(
        self, codes: Codes, asked: np.ndarray, seed: int, findings: Findings, space: str
    ) -> list[Estimate]:
        """How clusters of the test observations, by k-means, agree with their classes."""
        try:
            return list(clustering(codes[1], asked, seed, mixture=False).values())
        except InapplicableError as error:
            findings.left_out[f"probing/kmeans_{space}"] = str(error)
            return []

    def _tuned(
        self,
        subject: Subject,
        model: Autoencoder,
        known: tuple[Tensor, np.ndarray],
        asked: tuple[Tensor, np.ndarray],
    ) -> np.ndarray:
        """Which of the test observations an encoder with a linear head labels right, (K,)."""
        tuned = copy.deepcopy(model).train().requires_grad_(True)
        x, y = known[0], torch.from_numpy(known[1]).to(known[0].device)
        subject.fix_noise("fine-tuning")
        head = nn.Linear(tuned.latent, int(known[1].max()) + 1).to(x.device)
        optimizer = torch.optim.Adam([*tuned.parameters(), *head.parameters()], lr=1e-3)
        for _ in range(self.epochs):
            for chosen in torch.randperm(len(x)).to(x.device).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(head(tuned.posterior_of(x[chosen]).mean.float()), y[chosen]).backward()
                optimizer.step()
        with torch.no_grad():
            codes = torch.from_numpy(means(tuned.eval(), asked[0])).to(x.device)
            found: np.ndarray = head(codes).argmax(1).cpu().numpy() == asked[1]
        return found

    def _show(
        self,
        subject: Subject,
        findings: Findings,
        codes: Codes,
        known: tuple[Tensor, np.ndarray],
        asked: tuple[Tensor, np.ndarray],
    ) -> None:
        """Some test observations, each with the training ones nearest by code."""
        near = _nearest(codes[0], codes[1][:ASKED], ANSWERS)
        rows = [
            torch.cat([asked[0][row : row + 1], known[0][torch.from_numpy(near[row])]])
            for row in range(len(near))
        ]
        captions = ["asked, nearest", *[""] * (len(rows) - 1)]
        findings.figure("nearest_by_code", subject.data.kind.picture([row.cpu() for row in rows], captions))


@torch.no_grad()
def means(model: Autoencoder, x: Tensor) -> np.ndarray:
    """Posterior means of observations, (N, latent) float32."""
    found: np.ndarray = (
        torch.cat([model.posterior_of(part).mean.flatten(1).float() for part in x.split(500)]).cpu().numpy()
    )
    return found


def unlearned(model: Autoencoder, seed: int) -> Autoencoder:
    """The same model with its layers as they were before training, up to their draw."""
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if isinstance(module, nn.Linear | _ConvNd | _BatchNorm | nn.LayerNorm | nn.GroupNorm):
                module.reset_parameters()
    return fresh


def _nearest(among: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """The places (N, count) of the nearest others."""
    from sklearn.neighbors import NearestNeighbors

    found: np.ndarray = NearestNeighbors(n_neighbors=min(count, len(among))).fit(among).kneighbors(codes)[1]
    return found


def _alike(codes: Codes, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Of the ten nearest training observations of each, the share with its label: (N,)."""
    share: np.ndarray = (known[_nearest(codes[0], codes[1], 10)] == asked[:, None]).mean(1)
    return share


def _of(estimate: Estimate, space: str) -> Estimate:
    return replace(estimate, quantity=replace(estimate.quantity, name=f"{estimate.quantity.name}_{space}"))
