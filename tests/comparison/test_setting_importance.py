"""Which settings decided: on functions whose answer is known."""

import numpy as np
import pytest

from aelab.comparison.page.setting_importance import FEWEST, columns, importances, swept


def configurations(count=40):
    draw = np.random.default_rng(3)
    return [
        {
            "beta": float(draw.uniform()),
            "latent": int(draw.integers(2, 40)),
            "network": str(draw.choice(["mlp", "conv"])),
            "fixed": 1,
        }
        for _ in range(count)
    ]


def test_only_what_decides_is_important():
    swarm = configurations()
    found = importances(swarm, [3 * c["beta"] ** 2 + (c["network"] == "conv") for c in swarm])
    shares = {setting.name: setting.share for setting in found.settings}
    assert set(shares) == {"beta", "latent", "network"}
    assert shares["beta"] > shares["network"] > 10 * abs(shares["latent"])
    assert found.explained > 0.8
    assert [s.share for s in found.settings] == sorted(shares.values(), reverse=True)


def test_noise_is_not_explained():
    swarm = configurations()
    assert importances(swarm, np.random.default_rng(0).normal(size=len(swarm))).explained < 0.2


def test_the_same_input_gives_the_same_importance():
    swarm = configurations(12)
    values = [c["beta"] for c in swarm]
    assert importances(swarm, values) == importances(swarm, values)


@pytest.mark.parametrize(
    ("swarm", "values"),
    [
        (configurations(FEWEST - 1), range(FEWEST - 1)),
        (configurations(10), [1.0] * 10),
        ([{"beta": i} for i in range(10)], range(10)),
        ([], []),
    ],
    ids=["too few", "no variance", "one setting", "nothing"],
)
def test_too_little_to_learn_from_says_nothing(swarm, values):
    assert importances(swarm, values) is None


def test_a_setting_that_is_not_everywhere_or_merely_a_name_is_not_swept():
    swarm = [
        {
            "a": i,
            "name": f"run{i}",
            "kind": "xy"[i % 2],
            "same": 1,
            "unset": i or None,
            **({"b": i} if i else {}),
        }
        for i in range(4)
    ]
    assert swept(swarm) == ["a", "kind"]


def test_numbers_stay_numbers_and_the_rest_have_no_order():
    assert columns([3, 0.5]).tolist() == [[3], [0.5]]
    assert columns(["b", None, "b"]).tolist() == [[1, 0], [0, 1], [1, 0]]
    assert columns([True, False]).tolist() == [[0, 1], [1, 0]]


def drawn(count, seed=0):
    """Settings of a random search, all of whose numbers are different."""
    rng = np.random.default_rng(seed)
    return [
        {
            "lr": float(10 ** rng.uniform(-4, -2)),
            "beta": float(rng.uniform()),
            "network": str(rng.choice(["conv", "mlp", "resnet"])),
            "noise": float(rng.normal()),
        }
        for _ in range(count)
    ]


KNOWN = {  # functions of independent settings -> their total Sobol indices
    "one": (["lr", "beta"], lambda c: c["beta"], {"beta": 1}),
    "one of three": (["lr", "beta", "network"], lambda c: c["beta"], {"beta": 1}),
    "a choice": (["lr", "beta", "network"], lambda c: float(c["network"] == "mlp"), {"network": 1}),
    "a sum": (
        ["lr", "beta", "network", "noise"],
        lambda c: 2 * c["beta"] + (c["network"] == "mlp"),
        {"beta": 0.6, "network": 0.4},  # variances 4 / 12 and 2 / 9
    ),
    "a product": (
        ["noise", "beta", "network", "lr"],
        lambda c: (c["beta"] > 0.5) * (c["network"] == "mlp"),
        {"beta": 0.6, "network": 0.8},  # 1/4 1/3 and 1/2 2/9 over 1/6 5/6
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_shares_are_the_sobol_indices_of_known_functions(name):
    names, function, indices = KNOWN[name]
    searched = [{key: c[key] for key in names} for c in drawn(150)]
    assert swept(searched) == names
    shares = {s.name: s.share for s in importances(searched, list(map(function, drawn(150)))).settings}
    assert shares == pytest.approx(dict.fromkeys(names, 0) | indices, abs=0.12)


def test_pairs_that_are_tried_again_with_other_settings_are_no_functions_of_each_other():
    pairs = [{"lr": c["lr"], "beta": c["beta"], "network": k} for c in drawn(20) for k in ("mlp", "conv")]
    shares = {s.name: s.share for s in importances(pairs, [c["beta"] for c in pairs]).settings}
    assert shares["beta"] > 0.8 > 0.05 > max(abs(shares["lr"]), abs(shares["network"]))


@pytest.mark.parametrize(
    "follows", [lambda v: v, lambda v: 2 * v + 1, lambda v: -(v**3), lambda v: f"w{v:.6f}"]
)
def test_a_function_of_another_setting_counts_as_that_one(follows):
    often = [{"lr": c["lr"], "own": follows(c["lr"]), "k": k} for c in drawn(10) for k in (0, 1)]
    assert swept(often) == ["lr", "k"]


def test_the_names_of_choices_do_not_matter():
    search = drawn(40)
    values = [c["beta"] + (c["network"] == "mlp") for c in search]
    names = {"conv": "c", "mlp": "a", "resnet": "b"}
    renamed = [{**c, "network": names[c["network"]]} for c in search]
    a, b = ({s.name: s.share for s in importances(of, values).settings} for of in (search, renamed))
    assert a == pytest.approx(b, abs=0.1)
