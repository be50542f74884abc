"""Networks of self-attention: one that reads the inputs so far, and one that reads whole sequences."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions.sequences import PAD
from aelab.models.networks.causal import Causal
from aelab.models.networks.recurrent import TokenReader

Seen = tuple[Tensor, Tensor]
"""The keys and values of the places so far, each (N, heads, T, width of a head)."""


class Transformer(Causal):
    """Blocks of masked self-attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) with rotary
    places (Su et al. 2021, https://arxiv.org/abs/2104.09864); while it walks, keys and values are kept."""

    def __init__(
        self, width: int, grid: tuple[int, ...] = (), layers: int = 2, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor) -> Tensor:
        for block in self.blocks:
            inputs, _ = block(inputs, causal=True)
        return self.norm(inputs)

    def step(self, inputs: Tensor, state: list[Seen] | None) -> tuple[Tensor, list[Seen]]:
        kept = []
        for i, block in enumerate(self.blocks):
            inputs, seen = block(inputs, seen=None if state is None else state[i])
            kept.append(seen)
        return self.norm(inputs), kept


class TokenTransformer(TokenReader):
    """What blocks of self-attention find in a sequence, averaged over its tokens; padding is never read.

    forward: x (B, T) tokens, context (B, C) or None -> (B, width).
    """

    def __init__(
        self, sizes: Sizes, width: int = 128, layers: int = 2, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(sizes, width, "network=transformer")
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.features = width

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, inputs = self.read(x, context)
        read = x != PAD
        for block in self.blocks:
            inputs, _ = block(inputs, read=read)
        found = self.norm(inputs) * read[..., None]
        return found.sum(1) / read.sum(1, keepdim=True).clamp_min(1)


class Block(nn.Module):
    """Attention and two layers beside what came in, each after a normalisation (Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745).

    forward: inputs (N, T, width) -> the same, and the keys and values of all places so far. read: the places
    (N, T) that may be read; causal: whether none reads ahead; seen: keys and values of earlier places.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % (2 * heads) or not 0 <= dropout < 1:
            raise ConfigurationError(
                f"attention of width={width}, heads={heads}, dropout={dropout}: choose a width that is a "
                "multiple of twice the heads, and a share below 1"
            )
        self.heads, self.dropout = heads, dropout
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.three, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(
        self, inputs: Tensor, read: Tensor | None = None, causal: bool = False, seen: Seen | None = None
    ) -> tuple[Tensor, Seen]:
        three = self.three(self.first(inputs)).unflatten(-1, (3, self.heads, -1))
        query, key, value = three.permute(2, 0, 3, 1, 4)
        before = 0 if seen is None else seen[0].shape[2]
        query, key = turned(query, before), turned(key, before)
        if seen is not None:
            key, value = torch.cat([seen[0], key], 2), torch.cat([seen[1], value], 2)
        mask = None if read is None else read[:, None, None]
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)
        inputs = inputs + self.joined(found.transpose(1, 2).flatten(2))
        return inputs + self.layers(self.second(inputs)), (key, value)


def turned(x: Tensor, before: int = 0) -> Tensor:
    """x (..., T, D), D even, each pair of its numbers turned by an angle that grows with the place, the first
    of which is `before`: products of two places depend on their distance alone (Su et al. 2021).

    >>> turned(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    length, width = x.shape[-2:]
    places = torch.arange(before, before + length, device=x.device, dtype=torch.float32)
    rates = 10_000 ** -(torch.arange(0, width, 2, device=x.device, dtype=torch.float32) / width)
    angle = places[:, None] * rates
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)
