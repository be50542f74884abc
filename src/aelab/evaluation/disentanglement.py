"""Whether single units of a code stand for single factors of the images."""

from dataclasses import dataclass

import numpy as np
import torch

from aelab.core.checks import at_least
from aelab.core.errors import InapplicableError
from aelab.evaluation.findings import Findings
from aelab.evaluation.representation import NO_PEERS
from aelab.evaluation.subject import Subject
from aelab.metrics.disentanglement import disentanglement, udr
from aelab.metrics.rate import kl_per_dimension
from aelab.metrics.threads import one_thread


@dataclass
class Disentanglement:
    """Measures against known factors, and without any against other seeds (UDR).

    train, test: how many images, the former for what a measure learns; None: all.
    """

    train: int | None = 10_000
    test: int | None = 5_000

    def __post_init__(self) -> None:
        at_least(2, train=self.train, test=self.test)

    def __call__(self, subject: Subject, findings: Findings) -> None:
        self._agreement(subject, findings)
        train, test = (self._given(subject, *part) for part in (("train", self.train), ("test", self.test)))
        for name in subject.continuous:
            findings.left_out[f"disentanglement/{name}"] = "it is continuous: its values are no levels"
        with one_thread():
            found, refused = disentanglement(*train, *test, seed=subject.seed)
        findings.add("disentanglement", *found.values())
        findings.left_out.update({f"disentanglement/{name}": why for name, why in refused.items()})

    def _given(self, subject: Subject, split: str, count: int | None) -> tuple[np.ndarray, np.ndarray]:
        factors = np.stack(list(subject.factors(split, count).values()), 1)
        subject.check_untold()
        return subject.codes(split, count), factors

    def _agreement(self, subject: Subject, findings: Findings) -> None:
        if not subject.peers:
            findings.left_out["disentanglement/udr"] = NO_PEERS
            return
        try:
            every = (subject, *subject.peers)
            codes = [one.codes("test", self.test) for one in every]
            scores, _ = udr(codes, [_rates(one, self.test) for one in every])
        except InapplicableError as error:
            findings.undefine("disentanglement", ["udr"], str(error))
            return
        findings.add("disentanglement", scores[0])


@torch.no_grad()
def _rates(subject: Subject, count: int | None) -> np.ndarray:
    """The rate of each dimension, (latent,) nats."""
    traces = subject.traces("test", count, "units", clean=True)
    return torch.cat([kl_per_dimension(trace) for trace in traces]).mean(0).cpu().numpy()
