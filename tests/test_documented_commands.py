"""Every command in the documentation is one that exists, with options that compose."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.paths import conf_dir

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"^ +(?:aelab (\w+)|python scripts/(\w+)\.py)((?:\\\n|[^\n])*)", re.MULTILINE)
PLACEHOLDERS = {"NAME": "vae", "VARIANT": "vae", "FOLDER": "somewhere", "RUN": "outputs/vae_mnist/A"}


def commands():
    for document in DOCUMENTS:
        for command, script, line in COMMAND.findall(document.read_text(encoding="utf-8")):
            if "--config-dir" in line:  # a folder of the reader's own
                continue
            # The README's are checked at every change: a composition takes half a second.
            marks = [] if document.name == "README.md" else [pytest.mark.slow]
            name = command or script
            yield pytest.param(
                name, line, id=f"{document.name}: {name} {' '.join(line.split())[:60]}", marks=marks
            )


def overrides(line):
    """The overrides of a command, each sweep in the place of its first choice."""
    one = re.sub(r"\$\([^)]*\)", "outputs/vae_mnist/A", line.replace("\\\n", " "))  # no shell is run
    given = [word for word in shlex.split(one, comments=True) if "=" in word and not word.startswith("-")]
    return [first(re.sub(r"\b[A-Z]{3,}\b", lambda m: PLACEHOLDERS.get(m[0], m[0]), word)) for word in given]


def first(word):
    override = OverridesParser.create().parse_override(word)
    if override.is_interval_sweep():
        return f"{override.get_key_element()}={override.value().start}"
    if override.is_sweep_override():
        return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
    return word


def test_commands_are_found():
    assert len(list(commands())) > 60


@pytest.mark.parametrize(("name", "line"), commands())
def test_a_documented_command_composes(name, line):
    assert name == "sweep" or (ROOT / "scripts" / f"{name}.py").is_file()
    configuration = "train" if name == "sweep" else name
    if (conf_dir() / f"{configuration}.yaml").is_file():
        compose(overrides(line), configuration)


@pytest.mark.parametrize("line", ["variant=vea", "latnet=3", "trainer.max_epoch=2"])
def test_a_misspelled_one_would_not(line):
    with pytest.raises(ConfigurationError):
        compose(overrides(line), "train")
