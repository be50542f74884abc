"""How often a model's own guess of a label is wrong."""

from torch import Tensor

from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.models.posteriors import LabelChain

CLASSIFICATION_ERROR = Quantity("classification_error", "fraction", False)


def classification_error(trace: Trace) -> dict[str, Tensor]:
    """1 where the likeliest label under q(y|x) is not the known one, by name: (B,) float64.

    Left out for models that infer no labels, and where one is unknown.
    """
    q, y = trace.posterior, trace.batch.y
    if not isinstance(q, LabelChain) or y is None or bool((y < 0).any()):
        return {}
    return {CLASSIFICATION_ERROR.name: (q.probabilities.argmax(1) != y).double()}
