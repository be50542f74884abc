"""Every command in the documentation is one that exists, with options that compose."""

import re
import shlex
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image

from aelab.config.compose import compose
from aelab.config.recorded import BEST, CONFIG
from aelab.core.errors import ConfigurationError
from aelab.core.paths import conf_dir

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"^ +(?:aelab (\w+)|python scripts/(\w+)\.py)((?:\\\n|[^\n])*)", re.MULTILINE)
PLACEHOLDERS = {"NAME": "vae", "VARIANT": "vae", "FOLDER": "somewhere", "RUN": "outputs/vae_mnist/A"}


def commands():
    for document in DOCUMENTS:
        for command, script, line in COMMAND.findall(document.read_text(encoding="utf-8")):
            if "--config-dir" in line or "trust=" in line:  # a folder or a part of the reader's own
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


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The places of a user's files, by the data that are of them."""
    folder = tmp_path_factory.mktemp("files")
    for split in ("train", "test"):
        (folder / "pictures" / split / "one").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "pictures" / split / "one/0.png")
    x = np.zeros((2, 8, 8), np.uint8)
    np.savez(folder / "npz.npz", x_train=x, x_test=x)
    np.savez(folder / "vectors.npz", x_train=x[0], x_test=x[0])
    (folder / "some.txt").write_text("one line\nanother line\n")
    (folder / "some.csv").write_text("id,age,job,bought\n1,3,clerk,yes\n2,4,smith,no\n")
    with ZipFile(folder / "sounds.zip", "w") as archive:
        archive.writestr("a.wav", b"")
    text = {"table": folder / "some.csv"} | dict.fromkeys(["text", "tiny_shakespeare"], folder / "some.txt")
    return {
        "folder": folder / "pictures",
        "npz": folder / "npz.npz",
        **dict.fromkeys(["vectors", "counts"], folder / "vectors.npz"),
        "waves": folder / "sounds.zip",
        **text,
    }


def other_run(given, folder):
    """The command, where the run that it starts from has what composition reads of it."""
    data = [o for o in given if o.startswith(("data", "values")) and not o.startswith("data.labelled")]
    (folder / BEST).parent.mkdir()
    (folder / BEST).write_bytes(b"")
    OmegaConf.save(compose(data), folder / CONFIG)
    return [f"start.run={folder}" if o.startswith("start.run=") else o for o in given]


@pytest.mark.parametrize(("name", "line"), commands())
def test_a_documented_command_composes(name, line, files, tmp_path):
    assert name == "sweep" or (ROOT / "scripts" / f"{name}.py").is_file()
    configuration = "train" if name == "sweep" else name
    if (conf_dir() / f"{configuration}.yaml").is_file():
        given = overrides(line)
        if "start.run=somewhere" in given:
            given = other_run(given, tmp_path)
        own = next((files[data] for data in files if f"data={data}" in given), None)
        compose(
            [f"data.root={own}" if own and o.startswith("data.root=") else o for o in given], configuration
        )


@pytest.mark.parametrize("line", ["variant=vea", "latnet=3", "trainer.max_epoch=2"])
def test_a_misspelled_one_would_not(line):
    with pytest.raises(ConfigurationError):
        compose(overrides(line), "train")
