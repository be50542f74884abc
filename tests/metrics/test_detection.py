"""How well scores find anomalies, against closed forms, scikit-learn, and simulation."""

import numpy as np
import pytest
from scipy.stats import kstest, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from aelab.core.errors import InapplicableError
from aelab.metrics.detection import aupr, auroc, compared, fpr_at_95

RNG = np.random.default_rng(0)


def two_gaussians(distance, count=4000):
    anomalous = np.arange(count) % 2 == 0
    return RNG.normal(size=count) + distance * anomalous, anomalous


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_the_area_of_two_gaussians_is_known(distance):
    found = auroc(*two_gaussians(distance))
    assert found.value == pytest.approx(norm.cdf(distance / 2**0.5), abs=4 * found.error)
    assert found.interval[0] < found.value < found.interval[1]


def test_areas_are_those_of_scikit_learn_ties_included():
    scores, anomalous = two_gaussians(0.7, 200)
    scores = scores.round(1)
    assert auroc(scores, anomalous).value == pytest.approx(roc_auc_score(anomalous, scores))
    assert aupr(scores, anomalous, resamples=9).value == average_precision_score(anomalous, scores)


def test_an_area_does_not_change_by_a_monotone_map_and_turns_with_the_sign():
    scores, anomalous = two_gaussians(1.0)
    assert auroc(np.exp(scores), anomalous).value == auroc(scores, anomalous).value
    assert auroc(-scores, anomalous).value == pytest.approx(1 - auroc(scores, anomalous).value)


def test_intervals_cover_and_p_values_are_uniform_where_scores_are_alike():
    covered, p_values = [], []
    for _ in range(300):
        anomalous = np.arange(120) < 60
        shared = RNG.normal(size=120) + anomalous
        low, high = auroc(shared, anomalous).interval
        covered.append(low <= norm.cdf(0.5**0.5) <= high)
        a, b = (shared + RNG.normal(size=120) for _ in range(2))
        p_values.append(compared(a, b, anomalous)[1])
    assert 0.91 < np.mean(covered) < 0.985
    assert kstest(p_values, "uniform").pvalue > 0.001


def test_a_better_score_is_told_from_a_worse_one():
    scores, anomalous = two_gaussians(1.0)
    gain, p_value = compared(scores, scores + 2 * RNG.normal(size=len(scores)), anomalous)
    assert gain > 0.1
    assert p_value < 1e-6


def test_false_positives_where_anomalies_are_all_above():
    anomalous = np.arange(100) >= 50
    assert fpr_at_95(np.arange(100.0), anomalous).value == 0
    assert fpr_at_95(-np.arange(100.0), anomalous).value == 1


def test_one_class_alone_has_no_area():
    with pytest.raises(InapplicableError, match="two of each"):
        auroc(np.arange(4.0), np.zeros(4, bool))


def test_the_interval_of_a_share_holds_it_though_its_threshold_is_estimated():
    rng, anomalous, held = np.random.default_rng(0), np.arange(200) < 100, 0
    # 95 % of N(1.5, 1) are above -0.145, and so are 0.5576 of N(0, 1).
    for seed in range(100):
        found = fpr_at_95(rng.normal(size=200) + 1.5 * anomalous, anomalous, resamples=100, seed=seed)
        held += found.interval[0] <= 0.5576 <= found.interval[1]
    assert held >= 89  # 95 expected; an error of the share alone holds 72
