"""How well test images come back after they were degraded, beside baselines that read no model."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.records import Batch
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import Subject
from aelab.jobs.degradation import Degradation, Degraded
from aelab.jobs.restoration import Restoration, Restored
from aelab.jobs.restoration_baselines import Baseline
from aelab.metrics.estimate import Estimate, mean
from aelab.metrics.similarity import SSIM, ssim

RMSE = Quantity("rmse", "root of the squared error per value", False)
HIDDEN = Quantity("hidden_error", "squared error per hidden value", False)
COVERAGE = Quantity("coverage_95", "share of values within 1.96 deviations")
PSNR = Quantity("psnr", "dB", True)
SHOWN = 12
FITTED = 50  # validation images that strengths of baselines are chosen on
CAPTIONS = ("truth", "given")


@dataclass
class Degrading:
    """Test and validation observations, whole, and what a degradation leaves of them."""

    name: str
    test: Batch
    left: Degraded
    validation: Tensor
    left_of_validation: Degraded


@dataclass
class RestorationOfTest:
    """Errors, structural similarity and coverage of 95 % intervals for each degradation and way back.

    degradations, ways, baselines: by name. images: so many of the test split.
    """

    degradations: Mapping[str, Degradation] = field(default_factory=dict)
    ways: Mapping[str, Restoration] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    images: int = 200

    def __post_init__(self) -> None:
        at_least(2, images=self.images)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        table: list[list[object]] = []
        for name, degradation in subject.track(self.degradations.items(), "degradations"):
            try:
                case = self._degraded(subject, name, degradation)
            except InapplicableError as error:
                findings.left_out[f"restoration/{name}"] = str(error)
                continue
            rows = [case.test.x.cpu(), case.left.shown.cpu()]
            captions, heard = list(CAPTIONS), list(rows)
            for way, found in self._ways(subject, findings, case):
                table.append([name, way, *_measure(findings, f"{name}_{way}", case, found)])
                rows.append(found.mean.cpu())
                heard.append(rows[-1])
                captions.append(way)
                if found.deviation.any():
                    rows.append((found.deviation / found.deviation.amax()).cpu())
                    captions.append("deviation")
            picture = subject.data.kind.picture([row[:SHOWN] for row in rows], captions, heard=heard)
            findings.figure(f"restored_{name}", picture)
        if not table:
            raise InapplicableError("none of the degradations is one of these observations")
        findings.table(
            "restoration",
            ["degradation", "way", "rmse", "psnr", "ssim", "hidden_error", "coverage_95"],
            table,
        )

    def _degraded(self, subject: Subject, name: str, degradation: Degradation) -> Degrading:
        (_, test), *_ = subject.batches("test", min(self.images, len(subject.data.observations("test"))))
        (_, validation), *_ = subject.batches("val", FITTED)
        subject.fix_noise(f"degradation/{name}")
        left, known = degradation(test.x), degradation(validation.x)
        return Degrading(name, test, left, validation.x, known)

    def _ways(self, subject: Subject, findings: Findings, case: Degrading) -> Iterator[tuple[str, Restored]]:
        """What each way gives back; aloud, those that the model cannot serve."""
        for name, baseline in self.baselines.items():
            try:
                if case.test.x.dim() == 4 or name == "nothing":
                    baseline.fit(case.left_of_validation, case.validation)
                    back = baseline(case.left)
                    yield name, Restored(back, torch.zeros_like(back))
            except InapplicableError:  # of damage of another sort
                continue
        for name, way in self.ways.items():
            try:
                yield name, _restored(subject, way, case)
            except InapplicableError as error:
                findings.left_out[f"restoration/{case.name}_{name}"] = str(error)


@torch.no_grad()
def _restored(subject: Subject, way: Restoration, case: Degrading) -> Restored:
    subject.fix_noise(f"restoration/{case.name}")
    return way(subject.model, case.left, case.test._replace(x=case.left.shown))


def _measure(findings: Findings, name: str, case: Degrading, found: Restored) -> list[float | None]:
    """Add the numbers of a way back, and the same as a row."""
    x, squared = case.test.x, (found.mean - case.test.x).double().square()
    each = squared.flatten(1).mean(1).cpu().numpy()
    estimates: list[Estimate | None] = [
        _root(mean(each, _of(RMSE, name))),
        mean((-10 * squared.flatten(1).mean(1).clamp_min(1e-10).log10()).cpu().numpy(), _of(PSNR, name))
        if x.dim() == 4
        else None,
        _similarity(found.mean, x, name),
        _hidden(squared, case.left, name),
        _coverage(found, x, name),
    ]
    findings.add("restoration", *(estimate for estimate in estimates if estimate is not None))
    return [None if estimate is None else estimate.value for estimate in estimates]


def _root(squared: Estimate) -> Estimate:
    value = math.sqrt(squared.value)
    error = None if squared.error is None or value == 0 else squared.error / (2 * value)
    return replace(squared, value=value, error=error)


def _similarity(back: Tensor, x: Tensor, name: str) -> Estimate | None:
    try:
        return mean(ssim(back.clamp(0, 1), x).cpu().numpy(), _of(SSIM, name))
    except InapplicableError:
        return None


def _hidden(squared: Tensor, left: Degraded, name: str) -> Estimate | None:
    if left.hidden is None:
        return None
    hidden = left.hidden.expand_as(squared).flatten(1)
    each = (squared.flatten(1) * hidden).sum(1) / hidden.sum(1).clamp_min(1)
    return mean(each.cpu().numpy(), _of(HIDDEN, name))


def _coverage(found: Restored, x: Tensor, name: str) -> Estimate | None:
    """Of values that are not certain, each image's share."""
    unsure = found.deviation > 0
    if not bool(unsure.any()):
        return None
    within = ((found.mean - x).abs() <= 1.96 * found.deviation) & unsure
    share = within.double().flatten(1).sum(1) / unsure.double().flatten(1).sum(1).clamp_min(1)
    return mean(share.cpu().numpy(), _of(COVERAGE, name))


def _of(quantity: Quantity, name: str) -> Quantity:
    return replace(quantity, name=f"{quantity.name}_{name}")
