import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.core.errors import InapplicableError, NonFiniteError
from aelab.metrics.disentanglement import (
    beta_vae_score,
    dci,
    disentanglement,
    factor_vae_score,
    irs,
    mig,
    modularity,
    mutual_information,
    sap,
)
from aelab.metrics.disentanglement.intervention import Members
from aelab.metrics.disentanglement.prediction import _concentration

few = settings(max_examples=15, deadline=None)
LEVELS = (3, 4, 5, 6)
COUNT = 2000
NAMES = [
    "mig",
    "modularity",
    "sap",
    "dci_disentanglement",
    "dci_completeness",
    "dci_informativeness",
    "factor_vae_score",
    "beta_vae_score",
    "irs",
]
CHANCE = sum(1 / levels for levels in LEVELS) / len(LEVELS)  # of guessing a level
QUICK = {"votes": 1000, "group": 32, "trees": 10}


def world(seed, count=COUNT, levels=LEVELS):
    """Factors, independent and uniform, and the same with mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, most, count) for most in levels], 1)
    middle = (np.array(levels) - 1) / 2
    return factors, (factors - middle) / ((np.array(levels) ** 2 - 1) / 12) ** 0.5


def perfect(units, rng):
    return units


def scrambled(units, rng):
    """Permuted, turned around, scaled and shifted."""
    return units[:, [2, 0, 3, 1]] * [0.3, -1.0, 2.0, -0.7] + [5.0, 0.0, -1.0, 0.3]


def noise(units, rng):
    return rng.uniform(size=units.shape)


def rotated(units, rng):
    """The last two factors, mixed by 45 degrees."""
    turn = np.array([[1, 1], [-1, 1]]) / 2**0.5
    return np.concatenate([units[:, :2], units[:, 2:] @ turn], 1)


def noisy(units, rng):
    return units + 0.3 * rng.normal(size=units.shape)


@cache
def data(code):
    rng = np.random.default_rng(7)
    found = []
    for seed in (0, 1):
        factors, units = world(seed)
        found += [code(units, rng), factors]
    return tuple(found)


@cache
def scored(code):
    return {name: estimate.value for name, estimate in disentanglement(*data(code), **QUICK)[0].items()}


@pytest.mark.parametrize("code", [perfect, scrambled])
def test_one_unit_for_each_factor_is_perfect(code):
    found = dict(scored(code))
    assert list(found) == NAMES
    # All that a second unit tells, and reads, is chance.
    assert 0.98 < found.pop("mig") < 1
    assert 0.999 < found.pop("modularity") <= 1
    assert found.pop("sap") == pytest.approx(1 - CHANCE, abs=0.02)
    for name, value in found.items():
        assert value == pytest.approx(1, abs=1e-6), name


def test_noise_is_scored_by_chance():
    found = scored(noise)
    assert 0 <= found["mig"] < 0.01
    assert 0 <= found["modularity"] < 0.6  # of chance dependences, whatever factor they are of
    assert 0 <= found["sap"] < 0.03
    assert 0 <= found["dci_disentanglement"] < 0.02
    assert 0 <= found["dci_completeness"] < 0.02
    assert found["dci_informativeness"] == pytest.approx(CHANCE, abs=0.03)
    assert found["factor_vae_score"] == pytest.approx(1 / 4, abs=0.06)  # 3 standard errors of 500 votes
    assert found["beta_vae_score"] == pytest.approx(1 / 4, abs=0.06)
    assert 0 <= found["irs"] < 0.1


def test_two_factors_that_are_mixed_are_seen():
    found, best = scored(rotated), scored(perfect)
    at_most = {
        "mig": 0.65,
        "modularity": 0.92,  # one of three other factors, in two of four units
        "sap": 0.6 * best["sap"],
        "dci_disentanglement": 0.8,
        "dci_completeness": 0.8,
        "irs": 0.85,
    }
    for name, most in at_most.items():
        assert found[name] < most, name
    # Nothing is lost, as all units together tell all factors.
    assert found["dci_informativeness"] > 0.98


def test_votes_for_mixed_factors_are_guesses():
    # Where one of the two is held, both units move less and as much: three of four votes are right.
    for name in ("factor_vae_score", "beta_vae_score"):
        assert scored(rotated)[name] == pytest.approx(3 / 4, abs=0.06), name  # 3 standard errors of 500 votes


def test_a_factor_may_be_spread_over_units_of_its_own():
    codes, factors, others, truth = data(perfect)
    spread = np.concatenate([np.eye(4), np.eye(4)[:, :1]], 1)
    found = beta_vae_score(codes @ spread, factors, others @ spread, truth, votes=1000, group=32)
    assert found.value > 0.99


def test_noise_around_a_perfect_code_costs_something():
    found, best = scored(noisy), scored(perfect)
    for name in set(NAMES) - {"modularity", "factor_vae_score", "beta_vae_score"}:
        assert found[name] < best[name] - 0.02, name


def test_what_learns_is_scored_on_other_images():
    codes, factors, others, _ = data(noise)
    wrong = np.random.default_rng(3).permuted(factors, axis=0)
    train_codes, _, perfect_codes, truth = data(perfect)
    for accuracy in (
        dci(train_codes, wrong, perfect_codes, truth, trees=5)[2],
        dci(codes, factors, others, truth, trees=5)[2],
    ):
        assert accuracy.value == pytest.approx(CHANCE, abs=0.04)


@pytest.mark.parametrize("score", [factor_vae_score, beta_vae_score])
def test_votes_are_scored_on_other_images(score):
    codes, factors, others, truth = data(perfect)
    # Each unit is another factor's on the images to test on: what was learnt is wrong throughout.
    found = score(codes, factors, np.roll(others, 1, axis=1), truth, votes=1000, group=32)
    assert found.value < 0.05


def test_what_learns_nothing_is_that_of_the_images_to_test_on():
    _, _, others, truth = data(noisy)
    for score in (mig, modularity, irs):
        assert scored(noisy)[score.__name__] == score(others, truth).value


def test_a_unit_is_read_by_thresholds_between_levels():
    level = np.tile(np.arange(5), 40)
    codes = np.stack([np.array([0, 1, 10, 11, 12])[level], np.zeros(200)], 1)
    same = (codes, level[:, None])
    assert sap(*same, *same).value == pytest.approx(1 - 1 / 5)
    # Codes beyond a threshold halfway between two levels are read as the other: two of five levels here.
    moved = codes + np.array([0, 0.51, 0, 0.51, 0])[level][:, None] * [1, 0]
    assert sap(*same, moved, level[:, None]).value == pytest.approx(4 / 5 - 1 / 5)
    moved = codes + np.array([0.51, 0.51, 0, 0, 0])[level][:, None] * [1, 0]
    assert sap(*same, moved, level[:, None]).value == pytest.approx(4 / 5 - 1 / 5)
    # Levels count alike, however many images show them.
    kept = (level > 0) | (np.arange(200) < 20)
    assert sap(*same, moved[kept], level[kept, None]).value == pytest.approx(4 / 5 - 1 / 5)


def test_a_level_that_was_never_learnt_is_missed():
    factors, units = world(0, 400)
    others, unseen = world(1, 400)
    kept = factors[:, 3] < 5
    found = sap(units[kept], factors[kept], unseen, others).value
    full = sap(units, factors, unseen, others).value
    assert found == pytest.approx(full - 1 / 6 / 4, abs=0.03)


def test_no_code_is_read_as_a_level_that_was_never_learnt():
    level = np.tile(np.arange(4), 20)
    codes = np.stack([np.array([-1, 5, 0.1, 2])[level], np.zeros(80)], 1)
    shown = level != 1
    moved = codes - 0.06 * (level == 2)[:, None] * [1, 0]  # nearer to 0 than to 0.1, where level 2 lies
    found = sap(codes[shown], level[shown, None], moved, level[:, None])
    assert found.value == pytest.approx(3 / 4 - 1 / 4)


def test_concentration_of_importance():
    half = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert _concentration(half) == pytest.approx(1 / 2)
    assert _concentration(np.array([[3.0, 0.0], [0.5, 0.5]])) == pytest.approx(3 / 4)
    assert _concentration(np.array([[1.0, 0.0], [0.0, 0.0]])) == pytest.approx(1)
    assert _concentration(np.zeros((2, 3))) == pytest.approx(0, abs=1e-6)
    uneven = np.array([[1.0, 2.0, 1.0]])
    assert _concentration(uneven) == pytest.approx(1 - 1.5 * math.log(2) / math.log(3))


def test_disentanglement_is_of_units_and_completeness_of_factors():
    codes, factors, others, truth = data(perfect)
    spread = np.concatenate([np.eye(4)] * 2, 1)  # two units for each factor
    first, second, _ = dci(codes @ spread, factors, others @ spread, truth, trees=10)
    assert first.value == pytest.approx(1, abs=1e-6)
    assert second.value == pytest.approx(1 - math.log(2) / math.log(8), abs=0.05)
    joined = np.array([[1, 0], [7, 0], [0, 1], [0, 9]])  # two factors for each unit
    first, second, _ = dci(codes @ joined, factors, others @ joined, truth, trees=10)
    assert first.value == pytest.approx(1 - math.log(2) / math.log(4), abs=0.05)
    assert second.value == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("code", [noisy, rotated])
def test_forests_weigh_units_as_boosted_trees_do(code):
    from sklearn.ensemble import GradientBoostingClassifier

    codes, factors, *test = data(code)
    codes, factors = codes[:600], factors[:600]
    boosted = [
        GradientBoostingClassifier(n_estimators=20, random_state=0).fit(codes, factor).feature_importances_
        for factor in factors.T
    ]
    importance = np.stack(boosted, 1)
    first, second, _ = dci(codes, factors, *test, trees=20)
    assert first.value == pytest.approx(_concentration(importance), abs=0.1)
    assert second.value == pytest.approx(_concentration(importance.T), abs=0.1)


def test_images_are_drawn_among_those_that_show_a_level():
    rng = np.random.default_rng(0)
    levels = np.repeat([2, 0, 1, 3], [50, 4, 10, 5])  # four images of level 0: too few
    members = Members(levels)
    wanted = members.levels((300, 100), rng)
    assert np.bincount(wanted.ravel()) / 30_000 == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.01)
    images = members.draw(wanted, rng)
    assert (levels[images] == wanted).all()
    drawn = np.bincount(images.ravel(), minlength=69) / 10_000
    assert drawn == pytest.approx(1 / np.bincount(levels)[levels] * (levels > 0), abs=0.02)


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_a_unit_that_is_dead_beside_the_others_has_no_vote(scale):
    codes, factors, others, truth = data(perfect)

    def score(first):  # the only unit that tells the first factor
        size = scale * np.array([first, 1, 1, 1])
        return factor_vae_score(codes * size, factors, others * size, truth, votes=500).value

    assert score(0.06) == 1
    assert score(0.04) < 0.9


def test_errors_of_votes_are_binomial():
    codes, factors, others, truth = data(rotated)
    for score in (factor_vae_score, beta_vae_score):
        found = score(codes, factors, others, truth, votes=400, group=4)
        assert 0.5 < found.value < 1
        assert found.count == 200
        assert found.error == pytest.approx((found.value * (1 - found.value) / 199) ** 0.5)


def test_robustness_of_a_unit_that_is_known():
    level = np.repeat([0, 1], 20)
    # Within a level 1 from its mean, at most 3 from that of all.
    unit = np.tile(np.repeat([0.0, 2.0], 10), 2) + 4 * level
    still = np.zeros(40)
    assert irs(unit[:, None], level[:, None]).value == pytest.approx(2 / 3)
    assert irs(np.stack([unit, still], 1), level[:, None]).value == pytest.approx(2 / 3)
    # The level itself is perfect; weights are the farthest distances, 3 and 1/2.
    both = np.stack([unit, level], 1)
    assert irs(both, level[:, None]).value == pytest.approx((3 * 2 / 3 + 1 / 2) / 3.5)
    # A factor that moves within a level of the other makes the unit its own.
    other = (unit - 4 * level > 0).astype(int)
    assert irs(other[:, None] + 0.0, np.stack([level, other], 1)).value == pytest.approx(1)
    far = unit.copy()
    far[0] = -100
    assert irs(far[:, None], level[:, None]).value > irs(far[:, None], level[:, None], quantile=1).value


def test_levels_of_one_image_are_not_robust():
    rng = np.random.default_rng(0)
    level = np.concatenate([np.arange(400) % 2, np.arange(2, 32)])
    assert irs(rng.uniform(size=(430, 3)), level[:, None]).value < 0.1


@pytest.mark.parametrize("score", [mig, irs])
def test_errors_are_the_spread_over_other_images(score):
    rng = np.random.default_rng(0)

    def estimate(seed):
        factors, units = world(seed, 1000)
        return score(noisy(units, rng), factors)

    found = [estimate(seed) for seed in range(40)]
    spread = np.std([each.value for each in found], ddof=1)
    assert 0.7 < np.mean([each.error for each in found]) / spread < 1.7


affine = st.tuples(st.floats(0.5, 2), st.booleans(), st.floats(-3, 3))


@few
@given(st.permutations(range(4)), st.lists(affine, min_size=4, max_size=4))
def test_the_order_scale_and_sign_of_units_do_not_matter(order, maps):
    scale = np.array([factor * (-1 if turned else 1) for factor, turned, _ in maps])
    shift = np.array([shift for *_, shift in maps])
    codes, factors, others, truth = (each[:500] for each in data(noisy))
    moved, far = (each[:, order] * scale + shift for each in (codes, others))
    for score in (mig, modularity):
        assert score(moved, factors).value == pytest.approx(score(codes, factors).value, abs=1e-9)
    assert mutual_information(moved, factors) == pytest.approx(mutual_information(codes, factors)[order])
    both, plain = (moved, factors, far, truth), (codes, factors, others, truth)
    assert sap(*both).value == pytest.approx(sap(*plain).value, abs=1e-9)
    votes = {"votes": 200, "group": 8}
    for score in (factor_vae_score, beta_vae_score):
        assert score(*both, **votes).value == pytest.approx(score(*plain, **votes).value, abs=0.011)
    # Robustness weighs units by how far they go: only a scale that they share leaves it.
    shared = codes[:, order] * scale[0] + shift
    assert irs(shared, factors).value == pytest.approx(irs(codes, factors).value)


def test_forests_hardly_mind_the_order_and_scale_of_units():
    codes, factors, others, truth = data(noisy)
    plain = dci(codes, factors, others, truth, trees=10)
    moved = dci(-3 * codes[:, ::-1] + 1, factors, -3 * others[:, ::-1] + 1, truth, trees=10)
    for a, b in zip(plain, moved, strict=True):
        assert a.value == pytest.approx(b.value, abs=0.02)


def test_a_factor_of_one_level_is_ignored():
    codes, factors, others, truth = data(rotated)
    more, same = (np.insert(each, 1, 3, axis=1) for each in (factors, truth))
    small = {"votes": 200, "group": 8, "trees": 3}
    assert disentanglement(codes, more, others, same, **small) == disentanglement(
        codes, factors, others, truth, **small
    )


def test_levels_may_have_any_names():
    codes, factors, others, truth = data(noisy)
    small = {"votes": 200, "group": 8, "trees": 3}
    assert disentanglement(codes, 10 * factors - 7, others, 10 * truth - 7, **small) == disentanglement(
        codes, factors, others, truth, **small
    )


def test_the_seed_decides():
    small = {"votes": 200, "group": 8, "trees": 3}
    first = disentanglement(*data(noisy), seed=1, **small)
    assert disentanglement(*data(noisy), seed=1, **small) == first
    assert disentanglement(*data(noisy), seed=2, **small) != first
    for estimate in first[0].values():
        assert (estimate.quantity.unit, estimate.quantity.higher_is_better) == ("fraction", True)
        assert estimate.error is not None


CODES, FACTORS, *_ = data(perfect)
STILL = np.zeros_like(FACTORS)
ONE_SIDED = [mig, modularity, irs]
TWO_SIDED = [sap, dci, factor_vae_score, beta_vae_score]


@pytest.mark.parametrize("score", ONE_SIDED + TWO_SIDED)
@pytest.mark.parametrize(
    ("codes", "factors", "told"),
    [
        (CODES, STILL, "0 of 4 factors have two levels or more"),
        (0 * CODES, FACTORS, "0 of 4 units vary"),
        (CODES[:-1], FACTORS, "do not describe the same images"),
        (CODES[:, 0], FACTORS, "do not describe the same images"),
        (CODES, FACTORS / 2, "as integers"),
        (CODES[:9], FACTORS[:9], "give"),
        (CODES[:0], FACTORS[:0], "give"),
    ],
)
def test_data_that_cannot_serve_are_refused(score, codes, factors, told):
    given_data = (codes, factors) * (2 if score in TWO_SIDED else 1)
    if score in (factor_vae_score, beta_vae_score) and 0 < len(codes) < 10:
        told = "0 factors have two levels that 5 or more of 9"
    with pytest.raises(InapplicableError, match=told):
        score(*given_data)


@pytest.mark.parametrize("score", ONE_SIDED + TWO_SIDED)
def test_codes_that_are_no_numbers_are_refused(score):
    codes = np.where(CODES[0, 0] == CODES, np.nan, CODES)
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        score(*(codes, FACTORS) * (2 if score in TWO_SIDED else 1))


def test_measures_that_refuse_are_named_and_leave_the_others():
    single = FACTORS[:, :1]
    found, refused = disentanglement(CODES, single, CODES, single, **QUICK)
    assert set(found) == {"mig", "sap", "irs"}
    assert set(refused) == {"dci", "modularity", "factor_vae_score", "beta_vae_score"}
    assert all("1 of 1 factors" in why for why in refused.values())


def test_what_is_compared_is_there():
    single = FACTORS[:, :1]
    with pytest.raises(InapplicableError, match="1 of 1 factors"):
        modularity(CODES, single)
    for score in (dci, factor_vae_score, beta_vae_score):
        with pytest.raises(InapplicableError, match="1 of 1 factors"):
            score(CODES, single, CODES, single)
    for found in (lambda: mig(CODES[:, :1], single), lambda: sap(CODES[:, :1], single, CODES[:, :1], single)):
        with pytest.raises(InapplicableError, match="2 or more units"):
            found()
    with pytest.raises(InapplicableError, match="codes of one model"):
        sap(CODES, FACTORS, CODES[:, :3], FACTORS)
    unique = np.stack([np.arange(60), np.arange(60)], 1)
    with pytest.raises(InapplicableError, match="no factor has two levels that 10 or more of 60"):
        irs(CODES[:60], unique)
    with pytest.raises(InapplicableError, match="votes=1: "):
        beta_vae_score(CODES, FACTORS, CODES, FACTORS, votes=1)
