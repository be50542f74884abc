"""The site's reference holds every choice, its options as they are overridden, and what its classes say."""

import importlib
import sys
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest

from aelab.config.compose import compose
from aelab.core.paths import conf_dir

HOOKS = Path(__file__).parents[1] / "docs" / "hooks"


@pytest.fixture(scope="module")
def hooks():
    """The hooks as mkdocs loads them, with their folder in front of the path."""
    pytest.importorskip("mkdocs", reason="the site's tools are not installed")
    sys.path.insert(0, str(HOOKS))
    try:
        yield {name: importlib.import_module(name) for name in ("choices", "pages", "reference", "formulas")}
    finally:
        sys.path.remove(str(HOOKS))


@pytest.fixture(scope="module")
def pages(hooks):
    return dict(hooks["reference"].generated())


class Seen(HTMLParser):
    """The text of a page and the tags that it is made of."""

    def __init__(self):
        super().__init__()
        self.text, self.tags = "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def seen(text):
    reader = Seen()
    reader.feed(shown(text))
    return reader


def shown(text):
    """What a reader sees of Markdown, in HTML."""
    return markdown.markdown(text, extensions=["tables", "attr_list"])


def test_every_file_of_the_configuration_appears(hooks, pages):
    for path in conf_dir().rglob("*.yaml"):
        choice = hooks["choices"].read(path, conf_dir())
        page = pages[f"reference/{hooks['pages'].page_of(hooks['pages'].shown(choice.group) or choice.name)}"]
        if choice.group:
            assert f"{{ #{hooks['pages'].anchor(choice)} }}" in page, choice.name
        assert hooks["pages"].prose(choice.about) in page


def test_every_room_appears(hooks, pages):
    package = HOOKS.parents[1] / "src" / "aelab"
    rooms = {
        path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert {f"reference/python/{room}.md" for room in rooms - {"__init__"}} <= pages.keys()


def test_a_class_says_of_itself_what_its_docstring_says(pages):
    text = pages["reference/posterior.md"]
    assert "N(m, W W' + diag(s^2)), W of rank columns" in seen(text).text
    assert "[aelab.models.posteriors.gaussian.LowRankGaussian]" in text


def test_every_part_of_ours_that_is_named_exists(hooks):
    for choice in hooks["choices"].choices(conf_dir()):
        for _, path in choice.targets:
            assert (hooks["reference"].describe(path) is not None) == path.startswith("aelab."), path
    with pytest.raises(KeyError):
        hooks["reference"].describe("aelab.models.posteriors.Absent")


@pytest.mark.parametrize(
    "name", ["posterior/low_rank_gaussian", "variant/beta_vae", "network/mlp", "data/mnist", "trainer/cpu"]
)
def test_options_are_keys_of_the_command_line(hooks, name):
    group, _, title = name.rpartition("/")
    choice = hooks["choices"].read(conf_dir() / f"{name}.yaml", conf_dir())
    config = compose([f"{group}={title}"])
    assert choice.options
    for option in choice.options:
        node = config
        for key in option.key.split("."):
            assert key in node, option.key
            node = node[key]


def test_comments_and_values_are_read_as_they_are_written(hooks, tmp_path):
    path = tmp_path / "thing" / "sharp.yaml"
    path.parent.mkdir()
    path.write_text(
        "# @package model.thing\n# Author 2020: a\n# second line.\n"
        "defaults:\n  - base\n  - override /prior: vamp\n  - penalty: []\n\n"
        "_target_: torch.nn.ReLU\nscale: 1.0e-4 # in `nats`\nname: 'a # b'\nlist:\n  - 1\n  - 2\n"
        "nested: # of both\n  deep: null\n"
    )
    choice = hooks["choices"].read(path, tmp_path)
    assert choice.about == "Author 2020: a second line."
    assert choice.defaults == [("", "base"), ("prior", "vamp")]
    assert choice.targets == [("model.thing", "torch.nn.ReLU")]
    assert [(o.key, o.value, o.comment) for o in choice.options] == [
        ("model.thing.scale", "1.0e-4", "in `nats`"),
        ("model.thing.name", "'a # b'", ""),
        ("model.thing.list", "[1, 2]", ""),
        ("model.thing.nested", "", "of both"),
        ("model.thing.nested.deep", "null", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a | b",
        "[x](javascript:alert(1))",
        "**bold** _it_ <!-- x",
        "1. list",
        "# head",
        "&amp; `one",
        "::: aelab",
        "{ .class }",
    ],
)
def test_hostile_signs_are_shown_as_they_are(hooks, tmp_path, text):
    choice = hooks["choices"].Choice(
        "g/n", text, [], [hooks["choices"].Option("k", text, text)], [("k", text)]
    )
    reader = seen(hooks["pages"].section(choice, {}, lambda path: ("x.y", text)))
    assert reader.text.count(text) == 5
    assert reader.tags <= {"h2", "p", "code", "table", "thead", "tbody", "tr", "th", "td"}


def test_formulas_are_drawn_in_the_colour_of_the_text(hooks):
    formulas = hooks["formulas"]
    texts = [path.read_text(encoding="utf-8") for path in HOOKS.parent.rglob("*.md")]
    found = [tex for text in texts for tex in formulas.FORMULA.findall(text)]
    assert len(found) > 30
    for tex in found:
        drawn = formulas.drawn(tex)
        assert "currentColor" in drawn
        assert "<style" not in drawn  # which would be the whole page's
    (shown,) = [
        line for line in formulas.on_page_markdown("a\n$`x^2 < y`$, `$x$`").splitlines() if "svg" in line
    ]
    assert 'aria-label="x^2 &lt; y"' in shown
    assert shown.endswith(", `$x$`")
    with pytest.raises(ValueError, match="undefined"):
        formulas.drawn(r"\undefined")
