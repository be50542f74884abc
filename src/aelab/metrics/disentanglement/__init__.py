"""Disentanglement: how far single units of a code stand for single factors of the images.

Everything takes codes (N, D) and the levels of factors (N, K) as arrays, and no model. A factor of one level
is ignored. The two scores that hold a factor learn from some images and are scored on others, as are SAP and
DCI.
"""

from aelab.metrics.disentanglement.agreement import udr
from aelab.metrics.disentanglement.information import entropy, mig, modularity, mutual_information
from aelab.metrics.disentanglement.intervention import beta_vae_score, factor_vae_score, irs
from aelab.metrics.disentanglement.prediction import dci, sap
from aelab.metrics.disentanglement.suite import disentanglement

__all__ = [
    "beta_vae_score",
    "dci",
    "disentanglement",
    "entropy",
    "factor_vae_score",
    "irs",
    "mig",
    "modularity",
    "mutual_information",
    "sap",
    "udr",
]
