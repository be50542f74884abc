"""Centres of clusters of codes."""

import torch
from torch import Tensor, nn

from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian
from aelab.models.priors.base import Encodes, Fitted
from aelab.models.priors.mixtures import check_components, mixture

STARTS = 10  # of a clustering, the best of which is taken


class Centres(Fitted):
    """N(m_k, I) around so many centres, each alike: k-means where a second stage fits it (Lloyd 1982,
    https://doi.org/10.1109/TIT.1982.1056489), and the clusters that deep embedded clustering draws codes to
    (Xie, Girshick and Farhadi 2016, https://arxiv.org/abs/1511.06335).

    A centre that no code is nearest to stays.
    """

    codes_at_start = 10_000
    clusters = True
    logits: Tensor
    count: Tensor
    total: Tensor

    def __init__(self, sizes: Sizes, components: int = 10) -> None:
        super().__init__()
        check_components("components", components)
        self.loc = nn.Parameter(torch.randn(components, sizes.latent))
        self.register_buffer("logits", torch.zeros(components), persistent=False)
        for name, shape in (("count", ()), ("total", (sizes.latent,))):
            sums = torch.zeros(components, *shape, dtype=torch.float64)
            self.register_buffer(name, sums, persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> torch.distributions.MixtureSameFamily:
        return mixture(self.logits, Gaussian(self.loc, torch.zeros_like(self.loc)))

    @torch.no_grad()
    def begin(self, z: Tensor) -> None:
        from sklearn.cluster import KMeans

        clusters, seed = min(len(self.loc), len(z)), int(torch.randint(2**31, ()))
        found = KMeans(clusters, n_init=STARTS, random_state=seed).fit(z.double().cpu().numpy())
        self.loc[:clusters] = torch.as_tensor(found.cluster_centers_).to(self.loc)

    @torch.no_grad()
    def gather(self, z: Tensor) -> None:
        nearest = torch.cdist(z, self.loc).argmin(1)
        self.count.index_add_(0, nearest, torch.ones_like(nearest, dtype=torch.float64))
        self.total.index_add_(0, nearest, z.double())

    @torch.no_grad()
    def refit(self) -> None:
        moved = self.total / self.count[:, None]
        self.loc.copy_(torch.where(self.count[:, None] > 0, moved, self.loc))
        self.count.zero_()
        self.total.zero_()
