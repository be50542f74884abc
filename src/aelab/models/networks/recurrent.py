"""Networks that read sequences of tokens, and a decoder that tells a sequence nothing."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions.sequences import PAD, lengths, trimmed


class TokenReader(nn.Module):
    """What reads sequences of tokens: their embeddings, to which what the context says is added.

    width: of the embeddings. reader: the choice of a network, for its refusal.
    """

    def __init__(self, sizes: Sizes, width: int, reader: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_of(sizes, reader), width, PAD)
        self.told = nn.Linear(sizes.context, width) if sizes.context else None

    def read(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) without the places where all are padding, and their inputs (B, t, width)."""
        if x.is_floating_point():
            raise ConfigurationError(
                "the encoder reads tokens, and not numbers, which a corruption makes of them: choose "
                "corruption=none"
            )
        x = trimmed(x)
        inputs = self.embedding(x)
        if self.told is not None and context is not None:
            inputs = inputs + self.told(context)[:, None]
        return x, inputs


class TokenEncoder(TokenReader):
    """The states in which recurrent networks end that read a sequence forwards and, where `bidirectional`,
    backwards; padding is never read (Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093).

    forward: x (B, T) tokens, context (B, C) or None -> (B, features).
    width: of the tokens' embeddings and of the states. cell: torch's GRU or LSTM.
    """

    def __init__(
        self,
        sizes: Sizes,
        width: int = 256,
        layers: int = 1,
        bidirectional: bool = True,
        cell: Callable[..., nn.Module] = nn.GRU,
    ) -> None:
        super().__init__(sizes, width, "network=gru and lstm")
        ways = 2 if bidirectional else 1
        self.readers = nn.ModuleList(cell(width, width, layers, batch_first=True) for _ in range(ways))
        self.features = ways * width

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, inputs = self.read(x, context)
        last = lengths(x).clamp_min(1)[:, None] - 1
        ways = [inputs, _at(inputs, (last - torch.arange(x.shape[1], device=x.device)).clamp_min(0))]
        found = (_at(reader(way)[0], last) for reader, way in zip(self.readers, ways, strict=False))
        return torch.cat(list(found), -1)[:, 0]


class Untold(nn.Module):
    """A decoder that no code tells anything: the model is its likelihood alone, as a language model is.

    forward: z (B, latent), context (B, C) or None -> (B, *shape), a trained constant, and what the context
    adds to it.
    """

    reads_codes = False

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(sizes.shape))
        self.told = nn.Linear(sizes.context, self.constant.numel()) if sizes.context else None

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        found = self.constant.expand(len(z), *self.constant.shape)
        if self.told is None or context is None:
            return found
        return found + self.told(context).view(found.shape)


def vocabulary_of(sizes: Sizes, reader: str) -> int:
    """How many tokens there are; ConfigurationError for data that have none. reader: what needs them."""
    if sizes.vocabulary is None:
        raise ConfigurationError(
            f"{reader} need sequences of tokens, and the data have none (data.vocabulary is null): choose "
            "data=grammar, text or tiny_shakespeare, or another network"
        )
    return sizes.vocabulary


def _at(values: Tensor, places: Tensor) -> Tensor:
    """values (B, T, D) at places (B, K): (B, K, D)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))
