"""What a critic's scores cost the critic and the model: high where a side is taken for the true one.

Costs are functions of each score, whose means are taken over observations, and over places where scores are
maps. At the best critic of two equal sides each is known: 2 log 2 for the cross-entropy, 2 for the hinge.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError


class Loss(nn.Module, ABC):
    """The costs of scores, of any shape: `true` and `made` the critic's, `toward_*` the model's.

    penalised: whether a penalty on the critic's gradients or weights goes with it.
    """

    penalised: ClassVar[bool] = True

    @abstractmethod
    def true(self, scores: Tensor) -> Tensor:
        """What the critic pays for the scores of what is true."""

    @abstractmethod
    def made(self, scores: Tensor) -> Tensor:
        """What the critic pays for the scores of what the model makes."""

    def toward_true(self, scores: Tensor) -> Tensor:
        """What the model pays so that what it makes passes for true."""
        return self.true(scores)

    def toward_made(self, scores: Tensor) -> Tensor:
        """What the model pays for the true side, where it moves that one too."""
        return self.made(scores)

    def critic(self, true: Tensor, made: Tensor) -> Tensor:
        """What the critic's step lowers, a scalar."""
        return self.true(true).mean() + self.made(made).mean()

    def advantage(self, true: Tensor, made: Tensor) -> Tensor:
        """a / (|a| + |c|) of a, what the model pays for what it makes beyond what the true side would cost
        it, and c, what the critic pays: 0 for equal sides, towards 1 where the critic wins, in [-1, 1]."""
        beyond = self.toward_true(made).mean() - self.toward_true(true).mean()
        return beyond / (beyond.abs() + self.critic(true, made).abs()).clamp_min(1e-12)

    def after_step(self, true: Tensor, made: Tensor) -> None:
        """Move a state by the scores of the last step: by default there is none."""


class NonSaturating(Loss):
    """The cross-entropy, in nats; the model's is of the opposite labels (Goodfellow et al. 2014,
    https://arxiv.org/abs/1406.2661).

    >>> from torch import zeros
    >>> NonSaturating().critic(zeros(3), zeros(3))  # 2 log 2: none can tell
    tensor(1.3863)
    """

    def true(self, scores: Tensor) -> Tensor:
        return F.softplus(-scores)

    def made(self, scores: Tensor) -> Tensor:
        return F.softplus(scores)


class DensityRatio(NonSaturating):
    """The cross-entropy, whose best score is log p_true - log p_made; the model pays the estimate of
    KL(made || true), in nats (Huszár 2017, https://arxiv.org/abs/1702.08235)."""

    def toward_true(self, scores: Tensor) -> Tensor:
        return -scores

    def toward_made(self, scores: Tensor) -> Tensor:
        return scores


class LeastSquares(Loss):
    """Squared distances from 1 for the true side and 0 for the other (Mao et al. 2017,
    https://arxiv.org/abs/1611.04076)."""

    def true(self, scores: Tensor) -> Tensor:
        return (scores - 1).square()

    def made(self, scores: Tensor) -> Tensor:
        return scores.square()


class Hinge(Loss):
    """Margins of 1 for the critic, the score itself for the model (Lim and Ye 2017,
    https://arxiv.org/abs/1705.02894)."""

    def true(self, scores: Tensor) -> Tensor:
        return F.relu(1 - scores)

    def made(self, scores: Tensor) -> Tensor:
        return F.relu(1 + scores)

    def toward_true(self, scores: Tensor) -> Tensor:
        return -scores

    def toward_made(self, scores: Tensor) -> Tensor:
        return scores


class Wasserstein(Loss):
    """The difference of the mean scores, a distance where the critic's slope is at most 1 (Arjovsky, Chintala
    and Bottou 2017, https://arxiv.org/abs/1701.07875)."""

    def true(self, scores: Tensor) -> Tensor:
        return -scores

    def made(self, scores: Tensor) -> Tensor:
        return scores


class Equilibrium(Loss):
    """For scores that are minus an autoencoder's error: k, in [0, 1], weighs the error of what is made so
    that it stays `ratio` times that of what is true (BEGAN, Berthelot, Schumm and Metz 2017,
    https://arxiv.org/abs/1703.10717).

    rate: of k's steps.
    """

    penalised = False
    k: Tensor

    def __init__(self, ratio: float = 0.5, rate: float = 0.001) -> None:
        super().__init__()
        if not 0 <= ratio <= 1 or not 0 < rate < 1:
            raise ConfigurationError(
                f"critic.loss.ratio={ratio}, critic.loss.rate={rate}: choose a ratio in [0, 1] and a rate in "
                "(0, 1)"
            )
        self.ratio, self.rate = ratio, rate
        self.register_buffer("k", torch.zeros(()))

    def true(self, scores: Tensor) -> Tensor:
        return -scores

    def made(self, scores: Tensor) -> Tensor:
        return self.k.clone() * scores  # it moves before the model's backward pass

    def toward_made(self, scores: Tensor) -> Tensor:
        return scores

    def after_step(self, true: Tensor, made: Tensor) -> None:
        error, error_made = -true.mean(), -made.mean()
        self.k.add_(self.rate * (self.ratio * error - error_made)).clamp_(0, 1)
