"""What codes know about labels, and whether other seeds find the same."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject
from aelab.figures.charts import scatter
from aelab.metrics.estimate import mean
from aelab.metrics.labels import CLASSIFICATION_ERROR
from aelab.metrics.representation import CKA, cka, principal_plane, representation, tsne_plane
from aelab.metrics.representation.clustering import agreement
from aelab.metrics.threads import one_thread
from aelab.models import Autoencoder
from aelab.models.posteriors import Labelled

CKA_BETWEEN_SEEDS = replace(CKA, name="cka_between_seeds")
TITLES = {"principal": "codes, principal plane", "tsne": "codes, t-SNE"}
NO_PEERS = "no run of the same configuration with another seed is at hand: name some with peers=[...]"


@dataclass
class Representation:
    """Probes, neighbours and clusters of posterior means, planes to look at, and their alignment over seeds.

    train, test: how many images; None: all. draws: of the few labels. shown: points in the pictures.
    tsne: whether there is one by t-SNE, which takes most of the time.
    """

    train: int | None = 10_000
    test: int | None = None
    draws: int = 10
    shown: int = 3000
    tsne: bool = True

    def __post_init__(self) -> None:
        at_least(2, train=self.train, test=self.test, draws=self.draws, shown=self.shown)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        codes = subject.codes("test", self.test)
        try:
            self._alignment(subject, findings, codes)
        except InapplicableError as error:
            findings.left_out["representation/cka_between_seeds"] = str(error)
        planes = {"principal": principal_plane(codes[: self.shown])}
        try:
            planes |= {"tsne": tsne_plane(codes[: self.shown], subject.seed)} if self.tsne else {}
        except InapplicableError as error:
            findings.left_out["representation/tsne"] = str(error)
        labels, why = self._labels(subject)
        for name, points in planes.items():
            shown = None if labels is None else labels[: len(points)]
            labelled = _shares(points, codes) if name == "principal" else {}
            findings.figure(f"codes_{name}", scatter(points, shown, title=TITLES[name], **labelled))
        if labels is None:
            raise InapplicableError(why)
        subject.check_untold()
        known = *subject.labelled("train", self.train), *subject.labelled("test", self.test)
        self._guesses(subject, findings, *known[2:])
        with one_thread():
            found, refused = representation(*known, subject.seed, self.draws)
        findings.add("representation", *found.values())
        findings.left_out.update({f"representation/{name}": why for name, why in refused.items()})

    def _guesses(self, subject: Subject, findings: Findings, codes: np.ndarray, labels: np.ndarray) -> None:
        """How the classes or clusters that the model itself infers agree with the labels, where it does."""
        guesses = guessed(subject.model, codes)
        if guesses is None:
            return
        findings.add("representation", *agreement("model", guesses, labels, subject.seed))
        if isinstance(subject.model.posterior, Labelled):
            wrong = (guesses != labels).astype(np.float64)
            findings.add("representation", mean(wrong, CLASSIFICATION_ERROR))

    def _labels(self, subject: Subject) -> tuple[np.ndarray | None, str]:
        """Those of the test images, or why there are none."""
        try:
            return subject.labels("test", self.test), ""
        except InapplicableError as error:
            return None, str(error)

    def _alignment(self, subject: Subject, findings: Findings, codes: np.ndarray) -> None:
        if not subject.peers:
            raise InapplicableError(NO_PEERS)
        values = [cka(codes, peer.codes("test", self.test)) for peer in subject.peers]
        if len(values) == 1:
            findings.add("representation", replace(values[0], quantity=CKA_BETWEEN_SEEDS))
        else:
            every = np.array([found.value for found in values])
            findings.add("representation", mean(every, CKA_BETWEEN_SEEDS, "error over pairs of seeds"))


def _shares(plane: np.ndarray, codes: np.ndarray) -> dict[str, str]:
    """The labels of a principal plane's axes: the shares of the codes' variance that they explain."""
    shares = plane.var(0) / max(codes[: len(plane)].var(0).sum(), 1e-12)
    axes = zip(("xlabel", "ylabel"), ("first", "second"), shares, strict=True)
    return {axis: f"{name} principal component, {share:.0%} of the variance" for axis, name, share in axes}


@torch.no_grad()
def guessed(model: Autoencoder, codes: np.ndarray) -> np.ndarray | None:
    """The likeliest label, or else cluster of the prior, of mean codes (N, latent) under the model: (N,).

    None for a model that infers neither.
    """
    if isinstance(model.posterior, Labelled):
        return codes[:, model.posterior.sizes[0] :].argmax(1)
    if model.prior is None or not model.prior.clusters:
        return None
    prior: Any = model.prior(None, model)
    z = torch.as_tensor(codes, device=next(model.parameters()).device)
    joint = prior.mixture_distribution.logits + prior.component_distribution.log_prob(z[:, None])
    return joint.argmax(1).cpu().numpy()
