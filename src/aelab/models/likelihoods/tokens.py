"""The likelihood of sequences of tokens, each given those before it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.models import distributions
from aelab.models.distributions.later import as_now
from aelab.models.distributions.sequences import END, PAD, Choose
from aelab.models.likelihoods.base import Likelihood, Shape
from aelab.models.networks.causal import Causal


class Autoregressive(Likelihood):
    """Each token given those before it, by a causal network that is told the same at every place (Bowman et
    al. 2016, https://arxiv.org/abs/1511.06349).

    vocabulary: how many tokens there are. length: of the longest sequence. network: width -> what reads the
    tokens before. width: of their embeddings, and of what the decoder tells. dropout: the share of the tokens
    before that is hidden from the network in training. skip: whether what the decoder tells also reaches each
    token directly, past the network (Dieng et al. 2019, https://arxiv.org/abs/1807.04863).
    """

    drawn = True

    def __init__(
        self,
        vocabulary: int | None,
        length: int,
        network: Callable[..., Causal],
        width: int = 256,
        dropout: float = 0.0,
        skip: bool = False,
    ) -> None:
        super().__init__()
        if vocabulary is None:
            raise ConfigurationError(
                "the likelihood is of sequences of tokens, and the data have none (data.vocabulary is null): "
                "choose data=grammar, text or tiny_shakespeare, or likelihood=bernoulli or gaussian"
            )
        if not 0 <= dropout <= 1 or width < 1:
            raise ConfigurationError(
                f"model.likelihood.dropout={dropout}, width={width}: a share from 0 to 1, and at least 1"
            )
        self.hidden, self.length, self.width, self.dropout = vocabulary, length, width, dropout
        # The last row stands for what is hidden, and for what comes before the first token.
        self.symbol = nn.Embedding(vocabulary + 1, width)
        self.network = network(width=width)
        self.output = nn.Linear(width, vocabulary - 1)  # PAD is never a token of a sequence
        self.direct = nn.Linear(width, vocabulary - 1, bias=False) if skip else None

    def parameters_of(self, shape: Shape) -> Shape:
        if shape != (self.length,):
            raise ConfigurationError(
                f"the likelihood is of sequences of tokens and data.shape is {list(shape)}: choose "
                "likelihood=bernoulli or gaussian"
            )
        return (self.width,)

    def forward(self, params: Tensor) -> distributions.Autoregressive:
        kind = params.device.type
        logits, walk = as_now(self.logits, kind), as_now(self.walk, kind)
        return distributions.Autoregressive(params, self.length, logits, walk)

    def logits(self, tokens: Tensor, told: Tensor) -> Tensor:
        """Tokens (N, T), told (N, width) -> (N, T, vocabulary - 1), of the tokens from 1 on."""
        before = F.pad(tokens[:, :-1], (1, 0), value=self.hidden)
        if self.training and self.dropout:
            dropped = torch.rand(before.shape, device=before.device) < self.dropout
            before = before.masked_fill(dropped, self.hidden)
        told = told[:, None]
        return self._read(self.network(self.symbol(before) + told), told)

    def walk(self, told: Tensor, length: int, choose: Choose) -> Tensor:
        """Told (N, width) -> tokens (N, length), one after the other, until all sequences have ended."""
        tokens = torch.full((len(told), length), PAD, device=told.device)
        last, state, told = tokens[:, :1] + self.hidden, None, told[:, None]
        for place in range(length):
            features, state = self.network.step(self.symbol(last) + told, state)
            tokens[:, place] = choose(self._read(features, told)[:, 0].float()) + 1
            last = tokens[:, place : place + 1]
            if bool((tokens == END).any(1).all()):
                break
        return tokens

    def _read(self, features: Tensor, told: Tensor) -> Tensor:
        found = self.output(features)
        return found if self.direct is None else found + self.direct(told)
