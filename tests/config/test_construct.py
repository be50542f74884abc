"""Objects made of nodes: as Hydra makes them, and each refusal one sentence that names the node."""

import functools
import re
import sys

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from aelab.config.construct import construct, construct_recorded, locate
from aelab.core.errors import ConfigurationError, RunError

MODULE = """
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal
from tests_of_construct_order import noted

class Part:
    def __init__(self, name="", inner=None, values=(), **rest):
        noted.append(name)
        self.name, self.inner, self.values, self.rest = name, inner, values, rest

    def __eq__(self, other):
        return vars(self) == vars(other)

    @classmethod
    def named(cls, name):
        return cls(name)

class Outer:
    class Inner(Part):
        pass

def refuses(number):
    raise ValueError(f"number={number}:\\n    is too small")

def is_defective(**_):
    return {}["missing"]

SIZE = 3

def typed(count: int = 1, share: float | None = None, widths: "Sequence[int]" = (), flag: bool = False,
          name: Literal["a"] = "a", where: Path | None = None, table: Mapping[str, int] | None = None,
          either: float | Part = 0.0, made: Callable[[int], int] | None = None, bare: int = None, loose=None):
    return locals()
"""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A package `parts_of_mine` of a user's; the names of its parts, in the order in which they were made."""
    (tmp_path / "parts_of_mine").mkdir()
    (tmp_path / "parts_of_mine" / "__init__.py").touch()
    (tmp_path / "parts_of_mine" / "some.py").write_text(MODULE)
    (tmp_path / "parts_of_mine" / "broken.py").write_text("import a_module_that_there_is_not")
    (tmp_path / "tests_of_construct_order.py").write_text("noted = []")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.startswith(("parts_of_mine", "tests_of_construct"))]:
        del sys.modules[name]


def made():
    return sys.modules["tests_of_construct_order"].noted


def part(name, **arguments):
    return {"_target_": "parts_of_mine.some.Part", "name": name, **arguments}


NODES = {
    "nested": part("a", inner=part("b", inner=part("c")), values=[part("d"), [part("e")], 3]),
    "plain containers": part("a", inner={"x": part("b"), "y": {"z": [1, None, "w", 2.5, True]}}),
    "a class method": {"_target_": "parts_of_mine.some.Part.named", "name": "a"},
    "a class in a class": {"_target_": "parts_of_mine.some.Outer.Inner", "name": "a"},
    "interpolated": part("a", inner="${.name}", values=["${name}"]),
    "a list": [part("a"), {"b": part("b")}],
    "no target": {"x": part("a"), "y": 1},
}


@pytest.mark.parametrize("node", NODES.values(), ids=NODES.keys())
def test_an_object_is_made_as_hydra_makes_it(node):
    config = OmegaConf.create({"name": "n", "node": node})
    theirs = instantiate(config.node, _convert_="all")
    order = [*made()]
    made().clear()
    assert construct(config.node, "node") == theirs
    assert made() == order


def test_containers_are_plain():
    found = construct(OmegaConf.create(part("a", inner={"x": [1]}, values=[{}])), "node")
    assert [type(value) for value in (found.inner, found.inner["x"], found.values, found.values[0])] == [
        dict, list, list, dict,
    ]  # fmt: skip


def test_a_partial_has_what_is_known_and_waits_for_the_rest():
    found = construct({**part("a", inner=part("b")), "_partial_": True}, "node")
    assert isinstance(found, functools.partial)
    assert made() == ["b"]
    assert found(values=[1]).inner.name == "b"
    assert found().inner is found().inner


def test_arguments_take_the_place_of_the_node_s_own():
    given = object()
    found = construct(part("a", inner=part("not made")), "node", inner=given, more=1)
    assert found.inner is given
    assert found.rest == {"more": 1}
    assert made() == ["a"]


def test_nothing_is_made_of_nothing():
    assert construct(None, "node") is None


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"_target_": "parts_of_mine.some.refuses", "number": 0}, r"number=0: is too small \(in outer\)"),
        (
            part("a", inner={"x": [{"_target_": "parts_of_mine.some.refuses", "number": 0}]}),
            r"number=0: is too small \(in outer\.inner\.x\.0\)",
        ),
        ({"_target_": "parts_of_mine.some.refuses"}, r"missing 1 required .*'number' \(in outer\)"),
        ({"_target_": "parts_of_mine.some.refuses", "numbr": 0}, r"takes no argument 'numbr' \(in outer\)"),
        (
            {"x": {"_target_": "parts_of_mine.some.refuses", "_partial_": True, "old": 0}},
            r"takes no argument 'old' \(in outer\.x\).*delete it by '~outer\.x\.old'",
        ),
        ({"_target_": "none_such.some.Part"}, r"outer names .*no module 'none_such'.*PYTHONPATH"),
        ({"_target_": "parts_of_mine.none.Part"}, r"outer names .*parts_of_mine has no 'none.Part'"),
        ({"_target_": "parts_of_mine.some.Prt"}, r"outer names .*parts_of_mine.some has no 'Prt'"),
        ({"_target_": "parts_of_mine.some.SIZE"}, r"outer names .*cannot be called"),
        ({"_target_": "parts_of_mine.some"}, r"outer names .*parts_of_mine has no 'some'"),
        ({"_target_": "Part"}, r"outer names 'Part': .*package\.module\.Name"),
        ({"_target_": "parts_of_mine..Part"}, r"package\.module\.Name"),
        ({"_target_": 3}, r"outer names 3: .*package\.module\.Name"),
        (part("a", _args_=[1]), r"outer has '_args_': arguments are given by their names"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_that_names_the_node(node, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as refusal:
        construct(node, "outer")
    assert len(str(refusal.value).splitlines()) == 1


def typed(**options):
    return {"_target_": "parts_of_mine.some.typed", **options}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"widths": 64}, "outer.widths=64: a list of whole numbers is needed, as [64]"),
        ({"widths": [1, "b"]}, "outer.widths=[1,b]: a list of whole numbers is needed"),
        ({"widths": None}, "outer.widths=null: a list of whole numbers is needed"),
        ({"count": 1.5}, "outer.count=1.5: a whole number is needed"),
        ({"count": True}, "outer.count=true: a whole number is needed"),
        ({"share": "much"}, "outer.share=much: a number or null is needed"),
        ({"flag": 1}, "outer.flag=1: true or false is needed"),
        ({"table": [1]}, "outer.table=[1]: options by name or null is needed"),
        ({"table": {"a": {"b": None}}}, "outer.table.a={b}: a whole number is needed"),
        ({"either": [1]}, "outer.either=[1]: a number or a part by its _target_ is needed"),
        ({"made": {"more": 1}}, "outer.made={more}: a part by its _target_ or null is needed"),
    ],
)
def test_a_value_that_no_annotation_allows_is_refused_in_its_words(options, sentence):
    for more in ({}, {"_partial_": True}):
        with pytest.raises(ConfigurationError, match=f"^{re.escape(sentence)}$"):
            construct(typed(**options, **more), "outer")


@pytest.mark.parametrize(
    "options",
    [
        {"count": 2, "share": 1, "widths": [], "flag": True, "table": {"a": 1}},
        {"share": None, "where": "a/path", "either": part("a"), "loose": [{}]},
        {"name": "b", "either": "left to the part"},
        {"bare": None},
    ],
)
def test_what_an_annotation_may_mean_is_left_to_the_part(options):
    assert construct(typed(**options), "outer").items() >= {"count": options.get("count", 1)}.items()


def test_a_defect_of_a_part_keeps_its_own_traceback():
    with pytest.raises(KeyError, match="missing") as defect:
        construct({"x": [{"_target_": "parts_of_mine.some.is_defective"}]}, "outer")
    assert defect.traceback[-1].name == "is_defective"
    assert defect.value.__notes__ == ["(in outer.x.0)"]


def test_a_module_that_lacks_another_says_which():
    with pytest.raises(ModuleNotFoundError, match="a_module_that_there_is_not"):
        locate("parts_of_mine.broken.Part", "outer")


@pytest.mark.parametrize(
    "node",
    [
        part("a"),
        {"x": [part("a")]},
        {"_target_": "aelab.config.construct.construct"},
        {"_target_": ["aelab.models.likelihoods.Gaussian"]},
        {"_target_": "aelab.models.likelihoods.Gaussian", "_args_": [1]},
    ],
)
def test_of_a_run_s_folder_nothing_is_made_but_what_conf_lists(node):
    with pytest.raises(RunError, match=r"^outer .* conf/"):
        construct_recorded(node, "outer")
    assert "parts_of_mine" not in sys.modules
