"""How well scores of anomalies tell what is no training data, beside baselines that read no model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.records import Batch
from aelab.data.values import valued
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject
from aelab.figures.charts import curves, histogram
from aelab.jobs.anomaly import Reference, Score
from aelab.jobs.threshold import Threshold
from aelab.metrics.detection import AUPR, AUROC, FPR, aupr, auroc, compared, fpr_at_95
from aelab.metrics.estimate import Estimate
from aelab.models.conditions import batch_of
from aelab.runs.jobs import BLOCK, blocks, split_of

FALSE_POSITIVES = Quantity("false_positives", "share of normal observations")
RATES = (0.01, 0.02, 0.05, 0.1, 0.2)  # that are asked for where calibration is shown


@dataclass
class Detection:
    """Areas under the ROC and the precision-recall curve of each score, DeLong's tests between them, and how
    often a threshold chosen on validation calls a normal test observation an anomaly.

    Anomalies are the test observations of classes other than `data.normal`, and those in `other`.

    scores: by name. train: observations that they are fitted to; None: all. images: of the test split, so
    many; None: all. other: a folder or file of anomalies. rate: of false positives that is asked for.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    train: int | None = 10_000
    images: int | None = None
    other: str | None = None
    rate: float = 0.05

    def __post_init__(self) -> None:
        at_least(2, train=self.train, images=self.images)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        test, anomalous = self._test(subject)
        reference = Reference(
            subject.model, list(split_of(subject.data, "train", self.train, subject.device))
        )
        validation = Batch(*next(iter(subject.data.batches("val", len(subject.data.observations("val"))))))
        found: dict[str, np.ndarray] = {}
        calibrated: dict[str, tuple[np.ndarray, np.ndarray, None]] = {}
        for name, score in subject.track(self.scores.items(), "scores"):
            try:
                score.fit(reference)
                normal = self._scored(subject, score, validation, "validation")
                found[name] = self._scored(subject, score, test, "detection").numpy()
            except InapplicableError as error:
                findings.left_out[f"detection/{name}"] = str(error)
                continue
            calibrated[name] = self._measure(findings, name, found[name], anomalous, normal)
        if not found:
            raise InapplicableError("none of the scores is one that this model can serve")
        self._tell(subject, findings, found, anomalous, calibrated)

    def _test(self, subject: Subject) -> tuple[Batch, np.ndarray]:
        """Test observations and anomalies, and which are which."""
        count = len(subject.data.observations("test"))
        batch = next(iter(subject.data.batches("test", count, self.images)))
        anomalous = torch.zeros(len(batch.x), dtype=torch.bool)
        if subject.data.normal.kept:
            assert batch.y is not None
            anomalous = ~subject.data.normal.is_normal(batch.y).cpu()
        if self.other is not None:
            if subject.model.conditioner is not None:
                raise InapplicableError("the model is told something of each observation, and not of others")
            _, parts = subject.data.kind.read(self.other, subject.data.shape, True)
            x = valued(torch.cat(list(parts)), subject.data.values).to(batch.x.device)
            others = batch_of(None, x)
            batch = Batch(torch.cat([batch.x, others.x]))
            anomalous = torch.cat([anomalous, torch.ones(len(x), dtype=torch.bool)])
        if not bool(anomalous.any()):
            raise InapplicableError(
                "no test observation is an anomaly: train with data.normal=CLASS, or give "
                "suite.parts.detection.other=FOLDER"
            )
        return batch, anomalous.numpy()

    def _places(self, subject: Subject, count: int) -> list[int]:
        """Where `count` of the test split, and of what is no part of it, stand: one after the other."""
        test, every = subject.data.drawn("test", self.images).tolist(), subject.data.counts["test"]
        return [*test, *range(every, every + count - len(test))]

    @torch.no_grad()
    def _scored(self, subject: Subject, score: Score, batch: Batch, stage: str) -> Tensor:
        found = []
        for index, part in enumerate(blocks(batch, subject.device, BLOCK)):
            subject.fix_noise(stage, index)
            found.append(score(part).double().cpu())
        return torch.cat(found)

    def _measure(
        self, findings: Findings, name: str, scores: np.ndarray, anomalous: np.ndarray, normal: Tensor
    ) -> tuple[np.ndarray, np.ndarray, None]:
        """Add the numbers of a score; the rates asked for, and those found among normal test observations."""
        at_test = torch.from_numpy(scores[~anomalous])
        p_values = Threshold(normal, self.rate).p_values(at_test)
        rates = np.array([float((p_values <= rate).double().mean()) for rate in RATES])
        share = float((p_values <= self.rate).double().mean())
        error = (share * (1 - share) / len(at_test)) ** 0.5
        findings.add(
            "detection",
            auroc(scores, anomalous, _of(AUROC, name)),
            aupr(scores, anomalous, _of(AUPR, name)),
            fpr_at_95(scores, anomalous, _of(FPR, name)),
            Estimate(
                share, _of(FALSE_POSITIVES, name), len(at_test), error, note=f"asked for: {self.rate:g}"
            ),
        )
        return np.array(RATES), rates, None

    def _tell(
        self,
        subject: Subject,
        findings: Findings,
        found: Mapping[str, np.ndarray],
        anomalous: np.ndarray,
        calibrated: Mapping[str, tuple[np.ndarray, np.ndarray, None]],
    ) -> None:
        findings.table(
            "anomaly_scores",
            [findings.noun, "anomalous", *found],
            sorted(
                zip(
                    self._places(subject, len(anomalous)), anomalous.astype(int), *found.values(), strict=True
                )
            ),
        )
        pairs = ((a, b) for place, a in enumerate(found) for b in list(found)[place + 1 :])
        findings.table(
            "anomaly_score_tests",
            ["score", "other", "auroc_gain", "p_value"],
            ((a, b, *compared(found[a], found[b], anomalous)) for a, b in pairs),
        )
        first = next(iter(found))
        split = {"normal": found[first][~anomalous], "anomalous": found[first][anomalous]}
        findings.figure("anomaly_scores", histogram(split, title="anomalies", xlabel=first.replace("_", " ")))
        findings.figure(
            "anomaly_calibration",
            curves(dict(list(calibrated.items())[:6]), title="anomalies", xlabel="false positives asked for",
                   ylabel="found at test"),
        )  # fmt: skip


def _of(quantity: Quantity, score: str) -> Quantity:
    return replace(quantity, name=f"{quantity.name}_{score}")
