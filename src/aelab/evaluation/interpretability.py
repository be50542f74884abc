"""What single dimensions of a code do, and what lies between two codes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.records import Batch
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject
from aelab.figures.charts import heat
from aelab.metrics.disentanglement import entropy, mutual_information
from aelab.models.distributions.divergence import space
from aelab.models.distributions.spherical import spherical
from aelab.training.callbacks.pictures import by_class, samples_by_class

REACH = 3.0  # standard deviations of the codes, to either side
ALONE = "one observation has no other one whose code could be approached"
NOT_REAL = "codes are no real vectors, in which a dimension could be moved alone"


@dataclass
class Interpretability:
    """Traversals, interpolations, a grid by class, and which unit carries which factor.

    dimensions: that are traversed, those whose posterior means vary most. columns: images in a row.
    pairs: of test images that are interpolated. images: that the information is estimated from.
    """

    dimensions: int = 16
    columns: int = 11
    pairs: int = 8
    images: int = 10_000

    def __post_init__(self) -> None:
        at_least(1, dimensions=self.dimensions, pairs=self.pairs)
        at_least(2, columns=self.columns, images=self.images)

    @torch.no_grad()
    def __call__(self, subject: Subject, findings: Findings) -> None:
        trace = next(subject.traces("test", 1))
        codes = subject.codes("test", self.images)
        if len(codes) < 2:
            findings.undefine("interpretability", ["traversals", "interpolations"], ALONE)
        elif space(trace.q) == "real":
            self._traverse(subject, findings, codes)
            self._interpolate(subject, findings)
        else:
            findings.undefine("interpretability", ["traversals", "interpolations"], NOT_REAL)
        self._carriers(subject, findings, codes)
        self._classes(subject, findings)

    def _traverse(self, subject: Subject, findings: Findings, codes: np.ndarray) -> None:
        """From the first test image, one dimension at a time."""
        batch = _first(subject, 1)
        found = subject.dimensions
        # What the decoder does not read, as the upper layers of a hierarchy, moves nothing.
        order = [unit for unit in found.order if unit < subject.model.decoded]
        dead = [unit for unit in order if found.dead[unit]]
        shown = [unit for unit in order if not found.dead[unit]][: self.dimensions]
        captions = [f"z{unit}  {found.told[unit]:.2f} {found.unit}" for unit in shown]
        if dead:  # one row stands for all of them
            shown, captions = [*shown, dead[0]], [*captions, f"{len(dead)} that carry nothing"]
        start = torch.from_numpy(codes[0])
        shifts = torch.linspace(-REACH, REACH, self.columns)
        paths = []
        for unit in shown:
            path = start.repeat(self.columns, 1)
            path[:, unit] = float(codes[:, unit].mean()) + shifts * float(codes[:, unit].std())
            paths.append(path)
        rows = _decoded(subject, torch.stack(paths), batch)
        heads = [f"{shift:+.1f}σ" if abs(shift) > 1e-6 else "mean" for shift in shifts.tolist()]
        findings.figure("traversals", subject.data.kind.picture(list(rows), captions, heads=heads))

    def _interpolate(self, subject: Subject, findings: Findings) -> None:
        pairs = min(self.pairs, subject.data.counts["test"] // 2)
        batch = _first(subject, 2 * pairs)
        ends = torch.from_numpy(subject.codes("test", 2 * pairs))
        ways = torch.linspace(0, 1, self.columns)[:, None]
        given = batch.map(lambda value: value[:pairs])
        for name, between in (("linear", torch.lerp), ("spherical", spherical)):
            paths = [between(a, b, ways) for a, b in zip(*ends.split(pairs), strict=True)]
            rows = _decoded(subject, torch.stack(paths), given)
            heads = ["given", *[f"{way:.0%}" for way in ways[1:-1, 0].tolist()], "other"]
            picture = subject.data.kind.picture(list(rows), [""] * len(rows), heads=heads)
            findings.figure(f"interpolations_{name}", picture)

    def _carriers(self, subject: Subject, findings: Findings, codes: np.ndarray) -> None:
        """The share of each factor's entropy, or of the label's, that a unit tells of."""
        try:
            subject.check_untold()
            known = subject.factors("test", self.images) if subject.levels else {}
            if not known:
                codes, known["label"] = subject.labelled("test", self.images)
        except InapplicableError as error:
            findings.left_out["interpretability/carriers"] = str(error)
            return
        names, factors = list(known), np.stack(list(known.values()), 1)
        told = mutual_information(codes, factors) / np.maximum(entropy(factors), 1e-12)
        order = (
            subject.dimensions.order if len(told) == len(subject.dimensions.told) else np.arange(len(told))
        )
        findings.table(
            "carriers",
            ["dimension", *names],
            ([int(unit), *(f"{share:.4f}" for share in told[unit])] for unit in order),
        )
        shown = order[:48]
        chart = heat(
            told[shown].T, names, [f"z{unit}" for unit in shown],
            title="what each unit tells of", unit="share of the entropy",
        )  # fmt: skip
        findings.figure("carriers", chart)

    def _classes(self, subject: Subject, findings: Findings) -> None:
        """Samples for each label, or test images of each class beside their reconstructions."""
        try:
            labels = subject.labels("test")
        except InapplicableError as error:
            findings.left_out["interpretability/classes"] = str(error)
            return
        kind, names, columns = subject.data.kind, subject.data.class_names, 16
        subject.fix_noise("classes")
        if subject.label_conditional:
            like = _first(subject, 1).x
            findings.figure("classes", samples_by_class(subject.model, kind, names, columns, like))
            return
        chosen = [np.flatnonzero(labels == c)[: columns // 4] for c in range(len(names))]
        chosen = [places for places in chosen if len(places)]
        pairs = min(map(len, chosen))
        batch = subject.data.test_examples(int(max(map(max, chosen))) + 1)
        parts = []
        for places in chosen:
            part = batch.map(lambda value, places=places[:pairs]: value[places].to(subject.device))  # type: ignore[misc]
            outputs = kind.back(subject.model(part).likelihood)[0]
            parts.append(torch.stack([part.x, outputs], 1).flatten(0, 1).cpu())
        known = [names[labels[places[0]]] for places in chosen]
        findings.figure("classes", by_class(kind, parts, known, ["input", "output"] * pairs))


def _first(subject: Subject, count: int) -> Batch:
    return subject.data.test_examples(count).map(lambda value: value.to(subject.device))


def _decoded(subject: Subject, paths: Tensor, given: Batch) -> Tensor:
    """What codes (R, K, latent) come to, each row under the condition of one observation: (R, K, *event)."""
    z = paths.transpose(0, 1).to(subject.device)  # one batch of R observations, K codes for each
    rows = given.map(lambda value: value.expand(len(paths), *value.shape[1:]) if len(value) == 1 else value)
    likelihood = subject.model.likelihood_of(rows.x, z, subject.model.context(rows))
    return subject.data.kind.back(likelihood).transpose(0, 1).cpu()
