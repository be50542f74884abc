"""What codes know about labels, and whether other seeds find the same."""

from dataclasses import dataclass, replace

import numpy as np

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject
from aelab.figures.charts import scatter
from aelab.metrics.estimate import mean
from aelab.metrics.representation import CKA, cka, principal_plane, representation, tsne_plane
from aelab.metrics.threads import one_thread

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
        if self.tsne:
            planes["tsne"] = tsne_plane(codes[: self.shown], subject.seed)
        labels, why = self._labels(subject)
        for name, points in planes.items():
            shown = None if labels is None else labels[: len(points)]
            findings.figure(f"codes_{name}", scatter(points, shown, title=f"{subject.name}: {TITLES[name]}"))
        if labels is None:
            raise InapplicableError(why)
        subject.check_untold()
        known = *subject.labelled("train", self.train), *subject.labelled("test", self.test)
        with one_thread():
            found = representation(*known, subject.seed, self.draws)
        findings.add("representation", *found.values())

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
