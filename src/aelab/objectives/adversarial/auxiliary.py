"""What a critic's outputs beside its score are asked of a sample: its label, or a part of its code."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.models import Autoencoder
from aelab.models.distributions import Gaussian, bounded
from aelab.objectives.adversarial.comparisons import samples


class Auxiliary(ABC):
    """A task of a critic beside telling two samples apart; costs are in nats for each observation.

    outputs: how many it reads, (N, outputs). told: whether the critic is shown the condition all the same.
    of_samples: whether what it asks for is known of samples of the prior's codes alone.
    """

    outputs: int
    told: ClassVar[bool] = True
    of_samples: ClassVar[bool] = False

    @abstractmethod
    def made(self, outputs: Tensor, trace: Trace, model: Autoencoder) -> Tensor:
        """What critic and model pay for what is read off the made side, (N,)."""

    def true(self, outputs: Tensor, trace: Trace) -> Tensor:
        """What the critic pays for the true side, (N,); by default nothing."""
        return outputs.new_zeros(len(outputs))


class LabelTask(Auxiliary):
    """The label of a sample, which the model is told and the critic is not: log p(y|x) of both sides (AC-GAN,
    Odena, Olah and Shlens 2017, https://arxiv.org/abs/1610.09585)."""

    told = False

    def __init__(self, sizes: Sizes) -> None:
        if not sizes.classes or sizes.context != sizes.classes:
            raise ConfigurationError(
                "a critic that reads labels needs samples that have one, and the model is told none: add "
                "condition=label"
            )
        self.outputs = sizes.classes

    def made(self, outputs: Tensor, trace: Trace, model: Autoencoder) -> Tensor:
        return self._cost(outputs, trace)

    def true(self, outputs: Tensor, trace: Trace) -> Tensor:
        return self._cost(outputs, trace)

    @staticmethod
    def _cost(outputs: Tensor, trace: Trace) -> Tensor:
        assert trace.batch.y is not None
        return F.cross_entropy(outputs, trace.batch.y.repeat(len(outputs) // len(trace.x)), reduction="none")


class CodeTask(Auxiliary):
    """A part c of the code that a sample x' is made of, -log q(c|x'): the entropy of c less it bounds
    the information between the two (InfoGAN, Chen et al. 2016, https://arxiv.org/abs/1606.03657).

    discrete: sizes of the categorical variables that the code of prior=joint ends with. continuous: how many
        of its first numbers are read too, each by a Gaussian.
    """

    of_samples = True

    def __init__(self, sizes: Sizes, discrete: Sequence[int] = (), continuous: int = 0) -> None:
        self.discrete, self.continuous = list(discrete), continuous
        self.outputs = sum(discrete) + 2 * continuous
        if not 0 < sum(discrete) + continuous <= sizes.latent:
            raise ConfigurationError(
                f"a critic that reads codes is asked for {continuous} numbers and the categories of "
                f"{self.discrete}, and a code has latent={sizes.latent}: ask for one number at least, and no "
                "more than there are"
            )

    @property
    def entropy(self) -> float:
        """H(c) of uniform categories and standard normal numbers, in nats."""
        return sum(map(math.log, self.discrete)) + self.continuous * 0.5 * math.log(2 * math.pi * math.e)

    def made(self, outputs: Tensor, trace: Trace, model: Autoencoder) -> Tensor:
        z = samples(trace, model)[1]
        loc, log_variance, *logits = outputs.split([self.continuous, self.continuous, *self.discrete], 1)
        cost = -Gaussian(loc, bounded(log_variance)).log_prob(z[:, : self.continuous])
        faces = z[:, z.shape[1] - sum(self.discrete) :].split(self.discrete, 1) if self.discrete else ()
        for part, face in zip(logits, faces, strict=True):
            cost = cost + F.cross_entropy(part, face, reduction="none")
        return cost
