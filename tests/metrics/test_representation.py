import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aelab.core.errors import ConfigurationError, InapplicableError, NonFiniteError
from aelab.metrics.representation import (
    cka,
    clustering,
    few_label_probe,
    linear_probe,
    nearest_neighbours,
    principal_plane,
    probes,
    representation,
    tsne_plane,
)
from aelab.metrics.representation.clustering import _accuracy, _agreement, _ari, _nmi

STATISTICS = {"accuracy": _accuracy, "nmi": _nmi, "ari": _ari}


def agreement(table, seed):
    return dict(zip(STATISTICS, _agreement("kmeans", table, seed), strict=True))


def blobs(count, distance, seed, classes=5, size=6):
    """Codes (N, D) float32 around the corners of a simplex, each coordinate at its own scale, with labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    codes = distance * np.eye(classes, size)[labels] + rng.normal(size=(count, size))
    return (codes * np.linspace(0.5, 2, size)).astype(np.float32), labels


def sets(distance, count=2000):
    return *blobs(count, distance, 1), *blobs(count, distance, 2)


def table_of(clusters, labels, size=5):
    table = np.zeros((size, size), dtype=int)
    np.add.at(table, (clusters, labels), 1)
    return table


def test_codes_that_are_separate_are_told_apart_and_noise_is_not():
    names = {"linear_probe", "nearest_neighbours", "few_label_probe"} | {
        f"{method}_{key}" for method in ("kmeans", "mixture") for key in STATISTICS
    }
    apart, noise = representation(*sets(30))[0], representation(*sets(0))[0]
    assert apart.keys() == noise.keys() == names
    for name, estimate in apart.items():
        assert estimate.value == pytest.approx(1, abs=1e-12), name
    for name in ("linear_probe", "nearest_neighbours"):
        assert noise[name].value == pytest.approx(1 / 5, abs=4 * noise[name].error)
        assert noise[name].error == pytest.approx((0.2 * 0.8 / 2000) ** 0.5, rel=0.1)
    assert noise["few_label_probe"].value == pytest.approx(1 / 5, abs=0.03)
    for method in ("kmeans", "mixture"):
        assert noise[f"{method}_accuracy"].value < 0.26
        assert abs(noise[f"{method}_ari"].value) < 0.01
        assert noise[f"{method}_nmi"].value < 0.01


def test_the_linear_probe_reaches_the_best_there_is_between_two_gaussians():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000)
    codes = rng.normal(size=(20_000, 4)) + labels[:, None]  # 2 apart, so that the best is Phi(1)
    found = linear_probe(codes[:10_000], labels[:10_000], codes[10_000:], labels[10_000:])
    assert found.count == 10_000
    assert found.value == pytest.approx(norm.cdf(1), abs=3 * found.error)
    assert found.error == pytest.approx((norm.cdf(1) * norm.cdf(-1) / 10_000) ** 0.5, rel=0.05)


def test_the_linear_probe_is_that_of_scikit_learn_and_takes_any_scale():
    train_codes, train_labels, codes, labels = sets(2.0)
    whole = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
        train_codes.astype(float), train_labels
    )
    expected = whole.score(codes, labels)
    assert 0.5 < expected < 0.95
    assert linear_probe(train_codes, train_labels, codes, labels).value == expected
    scale, shift = 10.0 ** np.arange(-3, 3), np.arange(6)
    moved = linear_probe(train_codes * scale + shift, train_labels, codes * scale + shift, labels)
    assert moved.value == pytest.approx(expected, abs=0.002)


def test_a_probe_that_was_stopped_says_so(monkeypatch):
    assert "stopped" not in linear_probe(*sets(2.0)).note
    monkeypatch.setattr(probes, "ITERATIONS", 2)
    assert linear_probe(*sets(2.0)).note.endswith("stopped after 2 iterations")


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_are_the_nearest_of_all_and_those_of_scikit_learn(k):
    train_codes, train_labels, codes, labels = sets(2.0, 500)
    nearest = train_labels[np.argsort(cdist(codes, train_codes))[:, :k]]
    majority = np.array([np.bincount(row).argmax() for row in nearest])
    found = nearest_neighbours(train_codes, train_labels, codes, labels, k).value
    assert found == (majority == labels).mean()
    assert found == KNeighborsClassifier(k).fit(train_codes, train_labels).score(codes, labels)


def test_few_labels_are_as_many_of_each_class_and_others_in_each_draw(monkeypatch):
    seen, probe = [], probes._probe

    def spied(train_codes, train_labels, codes):
        seen.append((train_codes, train_labels))
        return probe(train_codes, train_labels, codes)

    monkeypatch.setattr(probes, "_probe", spied)
    found = few_label_probe(*sets(2.0), per_class=100, draws=6)
    assert len(seen) == found.count == 6
    for codes, labels in seen:
        assert np.bincount(labels).tolist() == [100] * 5
        assert len(np.unique(codes, axis=0)) == 500
    assert len({codes.tobytes() for codes, _ in seen}) == 6


def test_few_labels_that_are_all_of_a_class_are_each_taken_once():
    codes, _ = blobs(200, 0.0, 0)
    labels = np.arange(200) % 5
    found = few_label_probe(codes, labels, codes, labels, per_class=40, draws=4)
    assert found.value == pytest.approx(linear_probe(codes, labels, codes, labels).value, abs=1e-12)
    assert found.error == 0


@pytest.mark.slow
def test_the_numbers_of_the_classes_mean_nothing():
    train_codes, train_labels, codes, labels = sets(2.0, 500)
    other = np.array([70, -3, 12, 5, 40])
    plain = representation(train_codes, train_labels, codes, labels, draws=2)[0]
    renamed = representation(train_codes, other[train_labels], codes, other[labels], draws=2)[0]
    for name, estimate in plain.items():
        # Draws of few labels go by the order of the classes, and so may ties between neighbours.
        near = {"few_label_probe": 0.1, "linear_probe": 0.005, "nearest_neighbours": 0.03}.get(name, 1e-12)
        assert renamed[name].value == pytest.approx(estimate.value, abs=near), name


def test_few_labels_follow_from_the_seed_and_their_error_is_over_draws():
    values = sets(2.0)
    first, again, other = (few_label_probe(*values, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.value != other.value
    means = [few_label_probe(*values, seed=seed, draws=5).value for seed in range(20)]
    assert np.std(means) == pytest.approx(first.error * 2**0.5, rel=0.7)
    assert first.value < linear_probe(*values).value
    assert few_label_probe(*values, per_class=250, draws=2).value > first.value


@pytest.mark.parametrize("distance", [1.0, 3.0])
def test_clusters_are_those_of_scikit_learn_and_so_are_their_scores(distance):
    codes, labels = blobs(1000, distance, 3)
    centred = codes.astype(float) - codes.mean(0, dtype=float)
    centred /= np.linalg.norm(centred) / 1000**0.5
    found = clustering(codes, labels, seed=4)
    for name, method in {
        "kmeans": KMeans(5, n_init=10, random_state=4),
        "mixture": GaussianMixture(5, n_init=10, random_state=4),
    }.items():
        clusters = method.fit_predict(centred)
        nmi, ari = (score(labels, clusters) for score in (normalized_mutual_info_score, adjusted_rand_score))
        assert found[f"{name}_nmi"].value == pytest.approx(nmi, abs=1e-9)
        assert found[f"{name}_ari"].value == pytest.approx(ari, abs=1e-9)


@pytest.mark.parametrize("agreement", [0.0, 0.3, 0.8, 1.0])
def test_scores_of_a_table_are_those_of_the_labels_and_do_not_know_the_numbers_of_clusters(agreement):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    clusters = np.where(rng.random(300) < agreement, labels, rng.integers(0, 5, 300))
    swapped = rng.permutation(5)[clusters]
    tables = np.stack([table_of(clusters, labels), table_of(swapped, labels)])
    found = {name: statistic(tables) for name, statistic in STATISTICS.items()}
    assert found["nmi"][0] == pytest.approx(normalized_mutual_info_score(labels, clusters), abs=1e-9)
    assert found["ari"][0] == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-9)
    for values in found.values():
        assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_the_assignment_is_one_to_one_and_the_best():
    # Two clusters have most of the first class, but only one of them may have it.
    assert _accuracy(np.array([[[50, 10], [40, 0]]])) == pytest.approx([0.5])
    assert _accuracy(np.array([[[0, 9, 0], [0, 0, 9], [9, 0, 1]]])) == pytest.approx([27 / 28])


def test_clusters_that_are_all_one_agree_in_nothing_but_the_largest_class():
    table = np.array([[[30, 20], [0, 0]]])
    assert [float(statistic(table)[0]) for statistic in STATISTICS.values()] == pytest.approx([0.6, 0, 0])


POPULATION = np.array([[0.25, 0.05, 0.02], [0.03, 0.2, 0.1], [0.05, 0.1, 0.2]])


@pytest.mark.parametrize("name", STATISTICS)
def test_intervals_hold_the_truth_as_often_as_they_say(name):
    truth = STATISTICS[name](1e9 * POPULATION[None])[0]
    tables = np.random.default_rng(0).multinomial(1000, POPULATION.ravel(), 100).reshape(-1, 3, 3)
    intervals = np.array([agreement(table, 1)[name].interval for table in tables])
    held = ((intervals[:, 0] < truth) & (truth < intervals[:, 1])).mean()
    assert 0.88 <= held <= 0.995


@pytest.mark.parametrize("name", STATISTICS)
def test_intervals_hold_the_value_and_shrink_with_the_root_of_the_images(name):
    small, large = (agreement((n * POPULATION).astype(int), 0)[name] for n in (1000, 16_000))
    widths = []
    for estimate in (small, large):
        low, high = estimate.interval
        assert low < estimate.value < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)


def test_clusters_do_not_depend_on_the_scale_of_the_codes():
    codes, labels = blobs(500, 3.0, 0)
    small, large = clustering(1e-5 * codes, labels), clustering(codes, labels)
    assert all(small[name].value == pytest.approx(large[name].value) for name in large)


def test_an_interval_about_chance_has_no_bias():
    table = np.random.default_rng(0).multinomial(2000, np.full(25, 1 / 25)).reshape(5, 5)
    for estimate in agreement(table, 0).values():
        low, high = estimate.interval
        assert (estimate.value - low) / (high - low) == pytest.approx(0.5, abs=0.2)


def test_the_principal_plane_keeps_the_most_variance_and_its_signs():
    codes, _ = blobs(500, 3.0, 0)
    plane = principal_plane(codes)
    variances = np.linalg.svd(codes - codes.mean(0), compute_uv=False)[:2] ** 2
    np.testing.assert_allclose(np.square(plane).sum(0), variances, rtol=1e-4)
    assert abs(plane.T @ plane)[0, 1] < 1e-6 * variances[0]
    np.testing.assert_allclose(plane, principal_plane(codes + 5), atol=1e-4)
    for seed in range(5):
        codes = np.random.default_rng(seed).normal(size=(50, 6))
        loadings = (codes - codes.mean(0)).T @ principal_plane(codes)
        assert (loadings.max(0) == np.abs(loadings).max(0)).all()
    line = principal_plane(np.array([[1.0], [2.0], [6.0]]))
    np.testing.assert_allclose(line, [[-2, 0], [-1, 0], [3, 0]])


def test_a_tsne_plane_keeps_neighbours_and_follows_from_the_seed():
    codes, labels = blobs(200, 12.0, 0, classes=4)
    plane, again = tsne_plane(codes, 0), tsne_plane(codes, 0)
    assert plane.shape == (200, 2)
    np.testing.assert_array_equal(plane, again)
    assert not np.allclose(plane, tsne_plane(codes, 1))
    assert nearest_neighbours(plane[:100], labels[:100], plane[100:], labels[100:]).value == 1
    for odd in (np.zeros((10, 3)), np.arange(10.0)[:, None]):
        assert np.isfinite(tsne_plane(odd)).all()


def test_a_dimension_that_says_nothing_changes_nothing():
    values = sets(2.0, 500)
    idle = tuple(np.pad(v, ((0, 0), (0, 2)), constant_values=0.1) if v.ndim == 2 else v for v in values)
    for found, plain in zip(
        representation(*idle)[0].values(), representation(*values)[0].values(), strict=True
    ):
        assert found.value == pytest.approx(plain.value, abs=1e-9)
    assert cka(idle[0], values[0]).value == pytest.approx(1)


def test_codes_that_are_all_the_same_know_nothing_and_no_warning_says_so(recwarn):
    labels = np.arange(100) % 4
    found = representation(np.ones((100, 3)), labels, np.ones((100, 3)), labels)[0]
    assert found["linear_probe"].value == found["kmeans_accuracy"].value == 0.25
    assert found["mixture_accuracy"].value <= 0.5
    assert found["kmeans_nmi"].value == found["kmeans_ari"].value == 0
    assert not recwarn


def with_one(value):
    codes = np.ones((20, 2), dtype=np.float32)
    codes[3, 1] = value
    return codes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_refused(value):
    labels, codes, bad = np.arange(20) % 2, with_one(2), with_one(value)
    for call in (
        lambda: linear_probe(codes, labels, bad, labels),
        lambda: linear_probe(bad, labels, codes, labels),
        lambda: nearest_neighbours(bad, labels, codes, labels),
        lambda: few_label_probe(codes, labels, bad, labels),
        lambda: clustering(bad, labels),
        lambda: cka(codes, bad),
        lambda: principal_plane(bad),
        lambda: tsne_plane(bad),
    ):
        with pytest.raises(NonFiniteError, match="codes of 1 of 20 images are NaN or infinite"):
            call()


def test_what_cannot_be_scored_is_refused_in_a_sentence():
    codes, labels = with_one(2), np.arange(20) % 2
    few = np.where(np.arange(20) < 4, 7, 1)
    for message, call in {
        "class 7 has 4 training images": lambda: few_label_probe(codes, few, codes, few, per_class=5),
        "draws=0": lambda: few_label_probe(codes, labels, codes, labels, draws=0),
        "k=21 ": lambda: nearest_neighbours(codes, labels, codes, labels, k=21),
        "every training label is 0": lambda: linear_probe(codes, 0 * labels, codes, labels),
        "every label is 0": lambda: clustering(codes, 0 * labels),
        r"need labels \(20,\), not \(19,\)": lambda: linear_probe(codes, labels, codes, labels[1:]),
        "there are 20 and 19": lambda: cka(codes, codes[1:]),
        "is the same": lambda: cka(codes, np.ones((20, 2))),
        "at least 4": lambda: tsne_plane(codes[:3]),
        r"shape is \(20,\)": lambda: principal_plane(codes[:, 0]),
    }.items():
        with pytest.raises((ConfigurationError, InapplicableError), match=message):
            call()
