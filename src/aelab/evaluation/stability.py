"""How much numbers and codes move when they should not: with noise, precision, and the seed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.evaluation.findings import Findings
from aelab.evaluation.representation import NO_PEERS
from aelab.evaluation.subject import Subject
from aelab.metrics.estimands import DISTORTION, ELBO
from aelab.metrics.estimate import Estimate, mean

STILL = 1e-6  # of the size of codes: a spread that rounding gives


@dataclass
class Stability:
    """The spread of the bound under its own noise, of codes under input noise and reduced precision, and of
    all estimates over seeds.

    images: of the test split that are tried. repeats: of the bound. noise: standard deviation of what is
    added to values.
    """

    images: int = 2000
    repeats: int = 5
    noise: float = 0.1

    def __post_init__(self) -> None:
        at_least(2, images=self.images, repeats=self.repeats)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        self._repeated(subject, findings)
        self._disturbed(subject, findings)
        self._over_seeds(subject, findings)

    def _repeated(self, subject: Subject, findings: Findings) -> None:
        """The standard deviation of a mean over the images when its noise is drawn again."""
        runs = [subject.measure(f"repeat {i}", self.images) for i in range(self.repeats)]
        for measured in (ELBO, DISTORTION, subject.data.kind.quantities[0]):
            name = measured.name
            quantity = Quantity(f"{name}_spread", measured.unit, False)
            if name not in runs[0]:
                findings.undefine("stability", [quantity.name], "the model has no such number")
                continue
            spread = float(np.std([run[name].mean() for run in runs], ddof=1))
            # The error of a standard deviation from n normal values.
            error = spread / (2 * (self.repeats - 1)) ** 0.5
            note = f"standard deviation over draws of the noise, {len(runs[0][name])} {findings.noun}s"
            findings.add("stability", Estimate(spread, quantity, self.repeats, error, note=note))

    def _disturbed(self, subject: Subject, findings: Findings) -> None:
        kind = subject.device.type
        disturbances: dict[str, tuple[Callable[[Tensor], Tensor], AbstractContextManager[Any]]] = {
            "input_noise": (partial(self._noisy, subject), nullcontext()),
            "bfloat16": (lambda x: x, torch.autocast(kind, torch.bfloat16)),
        }
        for name, (disturb, context) in disturbances.items():
            try:
                moved, worse = _movement(subject, self.images, disturb, context)
            except InapplicableError as why:
                findings.undefine("stability", [f"code_shift_{name}", f"mse_increase_{name}"], str(why))
                continue
            told = f"noise of {self.noise} on every value" if name == "input_noise" else "mixed precision"
            shift = Quantity(f"code_shift_{name}", "spreads of the codes", False)
            error = subject.data.kind.quantities[0]
            increase = Quantity(f"{error.name}_increase_{name}", error.unit, False)
            findings.add(
                "stability",
                mean(moved, shift, f"distance a code moves, under {told}"),
                mean(worse, increase, f"under {told}"),
            )

    def _noisy(self, subject: Subject, x: Tensor) -> Tensor:
        if not subject.data.kind.measurable:
            raise InapplicableError(
                f"the values of {subject.data.kind.nouns} are names, to which no noise is added"
            )
        return x + self.noise * torch.randn_like(x)

    def _over_seeds(self, subject: Subject, findings: Findings) -> None:
        """Mean and spread of all that was found for the peers too, in a table."""
        if not subject.peers:
            findings.left_out["stability/over_seeds"] = NO_PEERS
            return
        # Distances in two feature spaces are two quantities.
        alike = [peer for peer in subject.peers if not peer.spaces or findings.spaces <= peer.spaces]
        rows = []
        for name, found in findings.estimates.items():
            others = [peer.estimates[name] for peer in alike if name in peer.estimates]
            if others:
                values = np.array([found.value, *others])
                numbers = f"{values.mean():.6g}", f"{values.std(ddof=1):.6g}"
                rows.append([name, len(values), *numbers, found.quantity.unit])
        if rows:
            findings.table("over_seeds", ["estimate", "seeds", "mean", "standard_deviation", "unit"], rows)
        else:
            findings.left_out["stability/over_seeds"] = "no other seed was evaluated by this suite yet"


@torch.no_grad()
def _movement(
    subject: Subject,
    images: int,
    disturb: Callable[[Tensor], Tensor],
    context: AbstractContextManager[Any],
) -> tuple[np.ndarray, np.ndarray]:
    """How far each image's code moves when what the encoder sees is disturbed, in root mean square distances
    of codes from their mean, and how much the leading error grows: (N,) each."""
    before, after, worse = [], [], []
    errors, error = subject.data.kind.errors, subject.data.kind.quantities[0].name
    for index, batch in subject.batches("test", images):
        subject.fix_noise("disturbance", index)
        plain = subject.model(batch, shown=batch.x)
        shown = disturb(batch.x)
        subject.fix_noise("disturbance", index)
        with context:
            moved = subject.model(batch, shown=shown)
        before.append(plain.q.mean.flatten(1).float())
        after.append(moved.q.mean.flatten(1).float())
        worse.append(errors(moved)[error] - errors(plain)[error])
    codes = torch.cat(before).double()
    spread = (codes - codes.mean(0)).square().sum(1).mean().sqrt()
    moved = (torch.cat(after).double() - codes).square().sum(1).sqrt()
    if moved.any() and not spread > STILL * codes.square().sum(1).mean().sqrt():
        raise InapplicableError("these observations have one code, which leaves no spread to measure by")
    distance = moved / spread.clamp_min(1e-12)
    return distance.cpu().numpy(), torch.cat(worse).double().cpu().numpy()
