"""How well test images come back from their codes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.records import NO_ENCODER
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import BLOCK, Subject
from aelab.metrics.estimate import mean
from aelab.metrics.similarity import MS_SSIM, SSIM, ms_ssim, ssim
from aelab.models.conditions import sees_observation

SHOWN = 16


@dataclass
class Reconstruction:
    """Errors of the mean of p(x|z,c), for one code of each test image, and the worst cases.

    images: for the structural similarity, so many; None: all. worst: how many are shown.
    """

    images: int | None = None
    worst: int = 16

    def __post_init__(self) -> None:
        at_least(1, images=self.images, worst=self.worst)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        if subject.model.encoder is None:
            findings.undefined["reconstruction"] = NO_ENCODER
            return
        measured, errors = subject.measured, subject.data.kind.quantities
        findings.add("reconstruction", *(mean(measured[each.name], each) for each in errors))
        self._similarity(subject, findings, SSIM, ssim)
        self._similarity(subject, findings, MS_SSIM, ms_ssim)
        leading = measured[errors[0].name]
        worst = np.argsort(leading if errors[0].higher_is_better else -leading, kind="stable")
        findings.table(
            f"per_{findings.noun}",
            [findings.noun, *measured],
            sorted(zip(subject.data.drawn("test").tolist(), *measured.values(), strict=True)),
        )
        self._show(subject, findings, "reconstructions", np.arange(min(SHOWN, len(worst))))
        self._show(subject, findings, "worst_reconstructions", worst[: self.worst])

    def _similarity(
        self,
        subject: Subject,
        findings: Findings,
        quantity: Quantity,
        similarity: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        try:
            if sees_observation(subject.model.conditioner):
                raise InapplicableError(
                    f"a part of each {findings.noun} is told to the model, and would count as its own"
                )
            values = [
                similarity(t.x, subject.data.kind.back(t.likelihood)[0]).cpu()
                for t in subject.traces("test", self.images)
            ]
        except InapplicableError as error:
            findings.left_out[f"reconstruction/{quantity.name}"] = str(error)
            return
        findings.add("reconstruction", mean(torch.cat(values).numpy(), quantity))

    def _show(self, subject: Subject, findings: Findings, name: str, places: np.ndarray) -> None:
        """The images at `places` of the pass that was measured, above their reconstructions."""
        wanted = {int(place): rank for rank, place in enumerate(places)}
        rows: dict[int, tuple[Tensor, Tensor]] = {}
        for block, trace in enumerate(subject.traces("test", int(places.max()) + 1)):
            back = subject.data.kind.back(trace.likelihood)[0]
            for row in range(len(trace.x)):
                if (place := block * BLOCK + row) in wanted:
                    rows[wanted[place]] = (trace.x[row].cpu(), back[row].cpu())
        shown = [torch.stack(images) for images in zip(*(rows[rank] for rank in sorted(rows)), strict=True)]
        findings.figure(name, subject.data.kind.picture(shown, ["input", "output"], SHOWN))
