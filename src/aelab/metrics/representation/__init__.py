"""What codes know about the labels: probes, neighbours, clusters, alignment, and planes to look at.

Codes are (N, D) and labels (N,) integers, as numpy arrays; accuracies are fractions of images. What is fitted
to labels is fitted to training codes and scored on others. All is computed in float64.
"""

from aelab.metrics.representation.alignment import CKA, cka
from aelab.metrics.representation.clustering import clustering
from aelab.metrics.representation.planes import principal_plane, tsne_plane
from aelab.metrics.representation.probes import few_label_probe, linear_probe, nearest_neighbours
from aelab.metrics.representation.suite import representation

__all__ = [
    "CKA",
    "cka",
    "clustering",
    "few_label_probe",
    "linear_probe",
    "nearest_neighbours",
    "principal_plane",
    "representation",
    "tsne_plane",
]
