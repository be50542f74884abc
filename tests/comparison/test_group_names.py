"""Names of different settings: as short as tells them apart, and never two alike."""

from hypothesis import given
from hypothesis import strategies as st

from aelab.comparison.group_names import LONGEST, by_keys, differing, names, shown
from aelab.core.text import shortest

VALUES = st.sampled_from([1, 2, "1", None, True, "aelab.a.X", "torch.b.X", [1, {"a": 1}]])
SETTINGS = st.dictionaries(st.sampled_from(["name", "latent", "model.latent", "a._target_", "a"]), VALUES)


@given(st.lists(SETTINGS, min_size=1, max_size=6, unique_by=lambda one: repr(sorted(one.items()))))
def test_no_two_settings_have_one_name(settings):
    found = names(settings)
    assert len(set(found)) == len(settings)
    assert all(0 < len(name) <= LONGEST + len(" (2)") for name in found)


def test_what_differs_is_told_by_value_and_kind():
    assert differing([{"x": 1, "y": [{"a": 1, "b": 2}]}, {"x": 1, "y": [{"b": 2, "a": 1}]}]) == []
    assert differing([{"x": "1", "y": 0}, {"x": 1, "y": 0}]) == ["x"]
    assert differing([{"x": None}, {}, {"x": None}]) == ["x"]
    assert differing([{"x": 1}, {"x": 1}, {"x": 2}]) == ["x"]


def test_a_name_is_the_runs_own_else_the_keys_that_tell_apart_the_shallowest_first():
    assert names([{"name": "vae"}]) == ["vae"]
    assert names([{"name": "vae"}, {"name": "ae"}]) == ["vae", "ae"]
    assert names([{"latent_size": 1, "m.l": 1}, {"latent_size": 2, "m.l": 2}]) == [
        "latent_size=1",
        "latent_size=2",
    ]
    assert names([{}]) == ["run"]


def test_the_key_that_tells_most_apart_is_enough():
    settings = [{"a": i % 2, "b.c": i, "d": 0} for i in range(3)]
    assert by_keys(settings) == ["c=0", "c=1", "c=2"]


def test_long_names_are_cut_and_numbered():
    found = names([{"x": "long " * 20 + end} for end in "abc"])
    assert len(set(found)) == 3
    assert [len(name) for name in found] == [LONGEST, LONGEST + 4, LONGEST + 4]
    assert all("…" in name for name in found)


def test_values_are_shown_as_words():
    assert shown("aelab.models.posteriors.flows.InverseAutoregressive") == "InverseAutoregressive"
    assert shown("torch.nn.SiLU") == "SiLU"
    assert shown("some.file.txt") == "some.file.txt"
    assert shown(1e-4) == "0.0001"
    assert shown([1, 2]) == "[1, 2]"
    assert by_keys([{"x": 1}, {}]) == ["x=1", "x=none"]


def test_a_key_is_cut_to_the_parts_that_tell_it_apart():
    assert shortest(["a.b.c"], among=["a.b.c", "c.d"]) == {"a.b.c": "c"}
    assert shortest(["a.b.c", "a.x.c"]) == {"a.b.c": "b.c", "a.x.c": "x.c"}
    assert shortest(["a.b.c"], among=["x.b.c", "b.c"]) == {"a.b.c": "a.b.c"}
    assert shortest(["m.prior._target_"], among=["m.prior"]) == {"m.prior._target_": "prior"}
    assert shortest(["m.prior._target_", "m.prior"]) == {
        name: name for name in ("m.prior._target_", "m.prior")
    }
    assert shortest(["_target_"]) == {"_target_": "_target_"}
