"""Which settings decided: on functions whose answer is known."""

import numpy as np
import pytest

from aelab.comparison.page.setting_importance import FEWEST, column, importances, swept


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


def test_numbers_stay_numbers_and_the_rest_are_places():
    assert column([3, 0.5]).tolist() == [3, 0.5]
    assert column(["b", None, "a", "b"]).tolist() == [1, 2, 0, 1]
    assert column([True, False]).tolist() == [1, 0]
