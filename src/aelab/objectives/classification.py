"""Labels read off the codes."""

import torch.nn.functional as F
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes, Trace
from aelab.core.schedules import Scheduled
from aelab.models import Autoencoder
from aelab.models.distributions import Joint, OneHot
from aelab.models.evidence import required_posterior
from aelab.models.posteriors import LabelChain
from aelab.objectives.base import Term


class Classification(Term):
    """-log q(y|x) of the labels that are known, in nats, the mean over them; 0 in a batch without any.

    q(y|x) is the label in a code of posterior=labelled (M2, Kingma et al. 2014,
    https://arxiv.org/abs/1406.5298), or its first category, as of posterior=joint (AAE, Makhzani et al. 2016,
    https://arxiv.org/abs/1511.05644).

    sizes: of the model, with as many classes as the labels are of.
    """

    def __init__(self, sizes: Sizes, weight: Scheduled = 1.0) -> None:
        super().__init__(weight)
        self.classes = sizes.classes

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        logits = category(required_posterior(trace, "a classification")).logits[:, 0]
        y = trace.batch.y
        if y is None or logits.shape[1] < (self.classes or 0):
            raise ConfigurationError(
                f"a classification needs labels below the {logits.shape[1]} categories of the code: choose "
                "data with labels and model.posterior.discrete=[${data.classes}]"
            )
        known = (y >= 0).sum().clamp_min(1)
        return F.cross_entropy(logits, y, ignore_index=-1, reduction="sum") / known


def category(posterior: object) -> OneHot:
    """The label in a code, or its first categorical variable; ConfigurationError where there is none."""
    if isinstance(posterior, LabelChain):
        posterior = posterior.label
    while isinstance(posterior, Joint):
        posterior = posterior.parts.get("discrete") or next(iter(posterior.parts.values()))
    if isinstance(posterior, OneHot):
        return posterior
    raise ConfigurationError("a classification needs a categorical code: choose posterior=joint or gumbel")
