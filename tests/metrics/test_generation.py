"""Distances between samples and images: on laws whose distance is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from prdc import compute_prdc
from prdc.prdc import compute_nearest_neighbour_distances, compute_pairwise_distance
from scipy.linalg import sqrtm
from scipy.spatial.distance import pdist
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance

from aelab.core.errors import InapplicableError, NonFiniteError
from aelab.metrics.generation import (
    NEAREST,
    _Neighbours,
    classifier_score,
    diversity,
    frechet,
    generation,
    kernel_distance,
    memorisation,
    nearest,
    precision_recall,
    two_sample_test,
)

SIZE = 6


def normal(count, seed=0, size=SIZE):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_identical_sets_have_no_distance_and_cover_each_other():
    x = normal(400)
    assert frechet(x, x).value == pytest.approx(0, abs=1e-6)
    assert kernel_distance(x, x).value < 0.02
    found = precision_recall(x, x)
    assert [found[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    assert diversity(x, x).value == pytest.approx(1)


def test_a_shifted_gaussian_lies_its_squared_shift_away():
    x = normal(20_000, 1)
    found = frechet(x, normal(20_000, 2) + torch.tensor([2.0, 1.0, 0, 0, 0, 0]))
    assert found.value == pytest.approx(5, abs=4 * found.error + SIZE / 10_000)
    assert 0 < found.error < 0.1


def test_a_scaled_gaussian_lies_the_trace_of_the_formula_away():
    found = frechet(normal(20_000, 1), 3 * normal(20_000, 2))
    assert found.value == pytest.approx(SIZE * (3 - 1) ** 2, abs=4 * found.error)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_the_frechet_distance_is_the_one_by_a_matrix_root(seed):
    mix = normal(SIZE, seed)
    a, b = normal(100, seed + 1) @ mix, normal(80, seed + 2) * 1.5
    one, other = np.cov(a.double().numpy().T), np.cov(b.double().numpy().T)
    shift = (a.double().mean(0) - b.double().mean(0)).square().sum().item()
    expected = shift + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet(a, b).value == pytest.approx(expected, rel=1e-4)


def honesty(estimates):
    """The mean error that is reported, over the deviation of the values."""
    return np.mean([each.error for each in estimates]) / np.std([each.value for each in estimates], ddof=1)


TRAIN, NEIGHBOURS = normal(400, 999), normal(150, 998)
ESTIMATES = {
    "frechet": lambda i: frechet(normal(150, 2 * i), normal(600, 2 * i + 1) + 0.5),
    "kernel_distance": lambda i: kernel_distance(normal(150, 2 * i), normal(150, 2 * i + 1) + 0.5),
    "classifier_score": lambda i: classifier_score(2 * normal(300, i)),
    "two_sample_accuracy": lambda i: two_sample_test(normal(150, 2 * i), normal(600, 2 * i + 1) + 0.2, i),
    "memorisation": lambda i: memorisation(TRAIN, normal(60, 2 * i), normal(600, 2 * i + 1)),
    "diversity": lambda i: diversity(normal(150, 2 * i), 0.5 * normal(600, 2 * i + 1)),
    "diversity of few": lambda i: diversity(normal(600, 2 * i), 0.5 * normal(150, 2 * i + 1)),
    "frechet at its floor": lambda i: frechet(normal(150, 2 * i), normal(150, 2 * i + 1)),
    "kernel_distance at its floor": lambda i: kernel_distance(normal(150, 2 * i), normal(150, 2 * i + 1)),
    **{
        name: lambda i, name=name: precision_recall(normal(150, 2 * i), normal(200, 2 * i + 1) + 0.5)[name]
        for name in ("precision", "recall", "density", "coverage")
    },
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_errors_are_the_spread_of_fresh_samples(name):
    with parallel_config(backend="sequential"):  # starting threads takes longer than these small sets
        assert 0.65 < honesty([ESTIMATES[name](i) for i in range(50)]) < 1.9


def test_the_kernel_distance_is_the_unbiased_one_of_cubic_kernels():
    a, b = normal(60, 1), normal(60, 2) + 0.5

    def kernel(x, y):
        return (x @ y.T / SIZE + 1) ** 3

    def among(x):
        gram = kernel(x, x)
        return (gram.sum() - gram.diagonal().sum()) / (len(x) * (len(x) - 1))

    expected = (among(a) + among(b) - 2 * kernel(a, b).mean()).item()
    assert kernel_distance(a, b).value == pytest.approx(expected, rel=1e-5)
    reference = KernelInceptionDistance(feature=given_features(SIZE), subsets=1, subset_size=60)
    reference.update(a, real=True)
    reference.update(b, real=False)
    assert kernel_distance(a, b).value == pytest.approx(reference.compute()[0].item(), rel=1e-4)
    alike = [kernel_distance(normal(100, i), normal(100, i + 100)).value for i in range(40)]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / 40**0.5


def given_features(size):
    identity = nn.Identity()
    identity.num_features = size
    return identity


def test_far_sets_share_nothing():
    x, far = normal(100), normal(100, 1) + 100
    found = precision_recall(x, far)
    assert [found[name].value for name in ("precision", "recall", "coverage", "density")] == [0, 0, 0, 0]
    test = two_sample_test(x, far)
    assert test.value == 1
    assert float(test.note.split()[2]) < 1e-10


def test_neighbourhoods_are_those_of_the_reference(capsys):
    a, b = normal(200), 1.2 * normal(150, 1)
    found = precision_recall(a, b)
    assert not capsys.readouterr().out
    expected = compute_prdc(a.numpy(), b.numpy(), 5)
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected)
    assert found["density"].count == 150
    for name, count in {"precision": 150, "recall": 200, "coverage": 200}.items():
        p = expected[name]
        assert 0 < p < 1
        assert found[name].count == count
        assert found[name].error > (p * (1 - p) / count) ** 0.5  # of fixed neighbourhoods


def test_no_classifier_tells_equal_laws_apart():
    accuracies = [two_sample_test(normal(400, i), normal(400, i + 50), seed=i) for i in range(10)]
    assert np.mean([each.value for each in accuracies]) == pytest.approx(0.5, abs=0.03)
    assert sum(float(each.note.split()[2]) < 0.05 for each in accuracies) < 4


def test_copies_are_recognised_and_fresh_images_are_not():
    train, held_out, fresh = normal(2000), normal(500, 1), normal(500, 2)
    copies = train[:500] + 1e-3 * normal(500, 3)
    assert memorisation(train, held_out, copies).value > 0.99
    found = memorisation(train, held_out, fresh)
    assert found.value == pytest.approx(0.5, abs=4 * found.error)
    assert found.error == pytest.approx((1 / 6 / 500) ** 0.5, rel=0.3)  # of two equal laws
    assert memorisation(train, held_out, fresh + 5).value < 0.01


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40), st.integers(2, 40))
def test_memorisation_is_the_share_of_pairs_in_which_the_sample_is_nearer(seed, held_out, fake):
    draw = np.random.default_rng(seed).integers(0, 3, size=(10 + held_out + fake, 2))  # a lattice: many ties
    train, held_out, fake = torch.from_numpy(draw).float().split([10, held_out, fake])
    near, far = (torch.cdist(x, train).min(1).values for x in (fake, held_out))
    pairs = (near[:, None] < far).double() + 0.5 * (near[:, None] == far).double()
    found = memorisation(train, held_out, fake)
    assert found.value == pytest.approx(pairs.mean().item(), abs=1e-9)
    variance = pairs.mean(1).var() / len(fake) + pairs.mean(0).var() / len(held_out)  # DeLong et al. 1988
    assert found.error == pytest.approx(variance.item() ** 0.5, abs=1e-9)


@pytest.mark.parametrize("far", [0, 1000])
@pytest.mark.parametrize("count", [1, 9, 10, 11, 23])
def test_the_nearest_are_those_of_all_pairs_also_far_from_the_origin(count, far, monkeypatch):
    monkeypatch.setattr("aelab.metrics.generation.PAIRS", 900)  # ten queries at a time
    queries, among = normal(count) + far, normal(90, 1) + far
    queries[-1] = among[7]
    distance, index = nearest(queries, among)
    pairs = (queries[:, None].double() - among.double()).norm(dim=-1)
    torch.testing.assert_close(distance.double(), pairs.min(1).values, atol=1e-5, rtol=1e-5)
    assert torch.equal(index, pairs.argmin(1))
    assert (distance[-1], index[-1]) == (0, 7)


def test_the_classifier_score_counts_the_classes_that_are_told_apart():
    sure = 50 * torch.eye(4).repeat(1000, 1)
    assert classifier_score(sure).value == pytest.approx(4, rel=0.02)
    assert classifier_score(sure[:1].repeat(100, 1)).value == pytest.approx(1)
    assert classifier_score(torch.zeros(100, 4)).value == pytest.approx(1)


@pytest.mark.parametrize("far", [0, 1000])
def test_diversity_is_the_scale_of_the_samples_also_far_from_the_origin(far):
    x, few = normal(500), normal(20, 1)
    assert diversity(x, 0.3 * x + far).value == pytest.approx(0.3, rel=1e-4)
    expected = pdist(few.double().numpy()).mean() / pdist(x.double().numpy()).mean()
    assert diversity(x + far, few + far).value == pytest.approx(expected, rel=1e-4)
    assert diversity(x, normal(1, 3).expand(50, -1) + far).value == pytest.approx(0, abs=1e-6)
    hardly = far + 0.01 * few
    expected = pdist(hardly.double().numpy()).mean() / pdist(x.double().numpy()).mean()
    assert diversity(x, hardly).value == pytest.approx(expected, rel=1e-4)


def every(**changed):
    given = {"real": normal(60), "fake": normal(60, 1), "train": normal(60, 2)}
    given |= {"fake_logits": normal(60, 4, 4), "seed": 0}
    return generation(**{**given, **changed})


def test_all_of_them_follow_from_the_seed_and_leave_nothing_behind(capfd, recwarn):
    found = []
    for state in (0, 1):
        torch.manual_seed(state)
        np.random.seed(state)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist()
        found.append(every())
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.random.get_state()[1].tolist() == before[1]
    first, again = found
    assert first == again
    other = every(seed=1)
    assert {name for name in first if first[name] != other[name]} == {
        "frechet", "precision", "density", "coverage", "classifier_score", "two_sample_accuracy",
    }  # fmt: skip
    assert capfd.readouterr() == ("", "")
    assert not recwarn
    assert first.keys() == {
        "frechet", "kernel_distance", "precision", "recall", "density", "coverage", "classifier_score",
        "two_sample_accuracy", "memorisation", "diversity",
    }  # fmt: skip
    assert all(math.isfinite(each.value) and each.error is not None for each in first.values())


def test_the_order_of_the_images_does_not_matter():
    shuffled = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    first, again = every(), every(real=normal(60)[shuffled])
    for name in ("frechet", "precision", "recall", "coverage", "memorisation", "diversity"):
        assert again[name].value == pytest.approx(first[name].value, rel=1e-5), name


@pytest.mark.parametrize("name", ["real", "fake", "train"])
def test_what_cannot_be_compared_is_refused(name):
    for value in (torch.nan, torch.inf):
        bad = normal(60).index_fill(0, torch.tensor([3]), value)
        with pytest.raises(NonFiniteError, match=f"features of {name} images are not all finite"):
            every(**{name: bad})
        with pytest.raises(NonFiniteError, match="logits of fake images are not all finite"):
            every(fake_logits=bad[:, :4])
    with pytest.raises(InapplicableError, match=f"19 {name} images are too few .* at least 20"):
        every(**{name: normal(19)})
    logits = {"fake_logits": normal(20, 4, 4)} if name == "fake" else {}
    assert every(**{name: normal(20)}, **logits).keys() == every().keys()


def test_left_out_images_leave_the_neighbours_of_the_others():
    """The error's own statistic on a subset is the reference's."""
    a = normal(60)
    kept = np.random.default_rng(0).permutation(60)[:53]
    near = _Neighbours(compute_pairwise_distance(a.numpy()))
    expected = compute_nearest_neighbour_distances(a[np.sort(kept)].numpy(), NEAREST)
    assert near.radii(np.sort(kept)) == pytest.approx(expected)
