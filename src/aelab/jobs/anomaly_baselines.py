"""Scores that read the values of observations alone, and no model: what a sceptic compares with."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.core.checks import at_least
from aelab.core.records import Batch
from aelab.jobs.anomaly import Reference, Score, nearest


class NearestValues(Score):
    """The mean distance to the `neighbours` nearest observations of the training data."""

    compares = True

    def __init__(self, neighbours: int = 1) -> None:
        at_least(1, neighbours=neighbours)
        self.neighbours = neighbours

    def fit(self, reference: Reference) -> None:
        self.values = reference.values

    def __call__(self, batch: Batch) -> Tensor:
        return nearest(batch.x.flatten(1), self.values, self.neighbours)


class PrincipalComponents(Score):
    """The squared error that the first `components` principal components of the training data leave."""

    compares = True

    def __init__(self, components: int = 32) -> None:
        at_least(1, components=components)
        self.components = components

    def fit(self, reference: Reference) -> None:
        rows = reference.values.double()
        self.mean = rows.mean(0)
        covariance = (rows - self.mean).T @ (rows - self.mean)
        self.axes = torch.linalg.eigh(covariance).eigenvectors[:, -self.components :]

    def __call__(self, batch: Batch) -> Tensor:
        rows = batch.x.flatten(1).double() - self.mean
        return (rows - rows @ self.axes @ self.axes.T).square().sum(1)


class Learned(Score):
    """A detector of scikit-learn, whose own scores are the higher the more normal an observation is."""

    compares = True
    detector: Any
    rows: int

    def fit(self, reference: Reference) -> None:
        values = reference.values.cpu().numpy()
        self.detector.fit(values[: self.rows])

    def __call__(self, batch: Batch) -> Tensor:
        return torch.from_numpy(-np.asarray(self.detector.score_samples(batch.x.flatten(1).cpu().numpy())))


class IsolationForest(Learned):
    """How soon random cuts leave an observation alone (Liu, Ting and Zhou 2008,
    https://doi.org/10.1109/ICDM.2008.17). rows: of the training data that it reads."""

    def __init__(self, trees: int = 100, rows: int = 10_000, seed: int = 0) -> None:
        from sklearn.ensemble import IsolationForest as Forest

        at_least(1, trees=trees, rows=rows)
        self.rows, self.detector = rows, Forest(n_estimators=trees, random_state=seed)


class OneClassSVM(Learned):
    """The distance from a boundary around the training data (Schölkopf et al. 2001,
    https://doi.org/10.1162/089976601750264965), by a Gaussian kernel. outside: the share of the training data
    that it leaves out at most. rows: of the training data that it reads."""

    def __init__(self, outside: float = 0.1, rows: int = 2000) -> None:
        from sklearn.svm import OneClassSVM as Machine

        at_least(2, rows=rows)
        self.rows, self.detector = rows, Machine(nu=outside, gamma="scale")
