"""A run folder from elsewhere is data: nothing that it names is imported, called, or written outside."""

import io
import os
import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import get_method
from omegaconf import OmegaConf
from PIL import Image
from small import OF_A_RUN, few_quick, of_numbers, only, rewrite

from aelab.cli.flags import flags
from aelab.config.compose import compose
from aelab.config.folders import choices, searched_first
from aelab.config.trusted import parts, published_mirrors, trusted_settings
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.invocation import Invocation
from aelab.core.paths import conf_dir
from aelab.runs.data import placed
from aelab.runs.folder import RunFolder
from aelab.training.checkpoints import sealed

# Each would leave CANARY behind if it were called.
CALLS = {
    "os.system": {"command": "touch CANARY"},
    "posix.system": {"command": "touch CANARY"},
    "subprocess.check_output": {"args": ["touch", "CANARY"]},
    "builtins.eval": {"_args_": ["open('CANARY', 'w')"]},
    "builtins.open": {"file": "CANARY", "mode": "w"},
    "torch.load": {"f": "BOMB", "weights_only": False},
    "shutil.copy": {"src": "BOMB", "dst": "CANARY"},
    "pathlib.Path.write_text": {"_args_": [{"_target_": "pathlib.Path", "_args_": ["CANARY"]}, "x"]},
    "hydra.utils.instantiate": {"_args_": [{"_target_": "os.system", "command": "touch CANARY"}]},
    "hydra.utils.get_method": {"path": "trap.fire"},
    "aelab.runs.train.resume": {"path": "CANARY", "signals": None},
    "aelab.evaluation.evaluate.torch.load": {"f": "BOMB", "weights_only": False},
    "aelab.cli.command.os.system": {"command": "touch CANARY"},
    "aelab.models.Autoencoder.__init__": {},
    "aelab.models.autoencoder.__globals__": {},
    "aelab.models.likelihoods.Bernoulli ": {},
    "AELAB.likelihoods.Bernoulli": {},
    "trap.fire": {},
    "trap": {},
    "": {},
}
# Where a forged part can stand.
PLACES = {
    "a part": "model.likelihood",
    "a nested part": "data.source",
    "a part that no evaluation builds": "optimizer",
    "an element of a list": "model.encoder.widths.0",
    "in a list of a list": "model.encoder.widths.0.0.deep",
    "a name of its own": "spare",
}
FIRE = {"_target_": "trap.fire"}


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def run(train_once):
    return train_once()


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that no attack may create; importing `trap` does, and so does loading the file `bomb`."""
    path = tmp_path / "canary"
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "trap.py").write_text(f"open({str(path)!r}, 'w')\ndef fire(*_, **__): ...\n")
    monkeypatch.syspath_prepend(tmp_path / "path")
    torch.save(Bomb(path), tmp_path / "bomb")
    return path


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder.open(shutil.copytree(run.path, tmp_path / "copy" / "run"))


@pytest.fixture
def harmless(copy, canary, evaluate):
    """Whether an evaluation of the forged copy is refused in one line without a trace of what was forged."""

    def check(sentence, error=RunError):
        before = {p: p.stat().st_mtime_ns for p in canary.parent.rglob("*")}
        with pytest.raises(error, match=sentence) as refusal:
            evaluate(copy)
        assert len(str(refusal.value).splitlines()) == 1
        assert {p: p.stat().st_mtime_ns for p in canary.parent.rglob("*")} == before
        assert "trap" not in sys.modules

    return check


def forge(folder, place, node):
    """Put a node at a place of the recorded configuration; numbers are places in lists."""
    config = OmegaConf.to_container(OmegaConf.load(folder.config))
    *way, last = (int(key) if key.isdigit() else key for key in place.split("."))
    inner = config
    for key, following in zip(way, [*way, last][1:], strict=True):
        if isinstance(inner, list) or not isinstance(inner.get(key), dict | list):
            inner[key] = [None] if isinstance(following, int) else {}
        inner = inner[key]
    inner[last] = node
    OmegaConf.save(OmegaConf.create(config), folder.config)


def aimed(value, canary):
    """The arguments of an attack, at this test's canary."""
    if isinstance(value, dict):
        return {key: aimed(each, canary) for key, each in value.items()}
    if isinstance(value, list):
        return [aimed(each, canary) for each in value]
    bomb = str(canary.parent / "bomb")
    return value.replace("CANARY", str(canary)).replace("BOMB", bomb) if isinstance(value, str) else value


def test_the_traps_work(canary):
    get_method("trap.fire")
    assert canary.is_file()
    canary.unlink()
    torch.load(canary.parent / "bomb", weights_only=False)
    assert canary.is_file()
    del sys.modules["trap"]


@pytest.mark.parametrize("target", CALLS)
def test_what_no_configuration_lists_is_neither_imported_nor_called(copy, canary, harmless, target):
    forge(copy, "model.likelihood", {"_target_": target, **aimed(CALLS[target], canary)})
    harmless(re.escape(f"names {target!r}, which is no part that conf/ lists"))


@pytest.mark.parametrize("place", PLACES)
def test_a_forged_part_is_found_wherever_it_stands(copy, harmless, place):
    forge(copy, PLACES[place], FIRE)
    harmless("names 'trap.fire', which is no part")


@pytest.mark.parametrize(
    "target", [["trap.fire"], {"name": "trap.fire"}, {}, [], 3, True, None, b"trap.fire"]
)
def test_a_target_that_is_no_name_is_refused(copy, harmless, target):
    forge(copy, "model.likelihood", {"_target_": target})
    harmless(re.escape(f"names {target!r}, which is no part that conf/ lists"))


@pytest.mark.parametrize("option", ["_args_", "_recursive_", "_other_"])
def test_a_part_is_handed_nothing_that_has_no_name(copy, harmless, option):
    """Addresses among such arguments would not be found where they are replaced."""
    forge(copy, f"data.source.{option}", ["mnist", {}, ["http://elsewhere"]])
    harmless(f"has an option '{option}', which conf/ gives to no part")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("name", "${oc.env:HOME}"),
        ("data.name", "${data.classes}"),
        ("model.likelihood._target_", "${spare}"),
        ("model.encoder.widths.0", "${oc.decode:16}"),
        ("spare", {"${oc.env:HOME}": 1}),
    ],
)
def test_nothing_is_interpolated(copy, harmless, place, value):
    forge(copy, place, value)
    harmless("not resolved|no part")


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch CANARY']",
        "!!python/name:os.system",
        "!!python/module:trap",
        "!!python/object/new:trap.fire []",
        "!trap {}",
    ],
)
def test_tags_make_no_objects(copy, canary, harmless, text):
    copy.config.write_text(copy.config.read_text() + f"spare: {aimed(text, canary)}\n")
    harmless("cannot be read")


def test_a_checkpoint_that_is_code_is_not_run(copy, canary, harmless):
    buffer = io.BytesIO()
    torch.save({"state_dict": {"model.x": Bomb(canary)}}, buffer)
    (copy.checkpoints / "best.ckpt").write_bytes(sealed(buffer.getvalue()))
    harmless("more than tensors and plain containers", AelabError)
    (copy.checkpoints / "best.ckpt").write_bytes(sealed(pickle.dumps(Bomb(canary))))
    harmless("more than tensors and plain containers", AelabError)


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", ""])
def test_the_name_of_a_data_set_leads_nowhere(copy, harmless, tmp_path, name):
    for split in ("train", "test"):
        (tmp_path / "pictures" / split).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / "pictures" / split / f"{i}.png")
    config = OmegaConf.load(copy.config)
    forged = compose(["data=folder", f"data.root={tmp_path}/pictures", "data.shape=[1,8,8]"]).data
    forged.name = forged.source.name = name
    config.data = forged
    rewrite(copy, config)
    harmless("no plain name", AelabError)


@pytest.mark.parametrize("field", ["name", "suffix"])
def test_the_name_of_a_published_file_leads_nowhere(copy, harmless, tmp_path, field):
    (tmp_path / "served").write_text("evil")
    config = OmegaConf.load(copy.config)
    config.data = compose(["data=mnist"]).data
    config.data.source.mirrors = [tmp_path.as_uri()]
    config.data.source.files.train_images[field] = "/../../served"
    rewrite(copy, config)
    harmless("no plain name", AelabError)


def test_links_in_a_run_lead_nothing_outside(copy, evaluate, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    config = OmegaConf.load(copy.config)
    config.logger = compose(["logger=csv"]).logger
    rewrite(copy, config)
    folder = copy.evaluation("quick")
    folder.mkdir(parents=True)
    for link, target in {
        folder / "kl_per_dimension.png": outside / "precious",
        folder / "latent_dimensions.csv": outside / "new",
        copy.path / "evaluation" / "full": outside,
        copy.trackers / "csv": outside,
        copy.trackers / "deep" / "csv": Path("../.."),
        copy.path / f".evaluation.json.{os.getpid()}": outside / "precious",
    }.items():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
        with pytest.raises(RunError, match=f"{link.name} is a link"):
            evaluate(copy, *only("likelihood"))
        link.unlink()
    evaluate(copy, *only("likelihood"))
    assert (outside / "precious").read_text() == "precious"
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert list(copy.trackers.glob("csv/*/metrics.csv"))


def test_the_record_of_an_earlier_evaluation_removes_nothing_but_its_own_files(copy, evaluate, tmp_path):
    (tmp_path / "mine.png").write_text("precious")
    folder = copy.evaluation("quick")
    folder.mkdir(parents=True)
    for name in ("mine.png", "old.png", "old.txt"):
        (folder / name).write_text("x")
    listed = [
        str(tmp_path / "mine.png"),
        "../../config.yaml",
        "old.png",
        "old.txt",
        3,
        None,
        ["x"],
        "a\0.png",
    ]
    copy.update_evaluations(quick={"figures": listed, "tables": {"old.txt": 1}})
    found = evaluate(copy, *only("likelihood"))
    assert (tmp_path / "mine.png").is_file()
    assert copy.config.is_file()
    kept = {path.name for path in folder.iterdir()}
    assert kept == {"mine.png", "old.txt", *found["figures"], *found["tables"]}


def test_every_target_that_is_shipped_is_allowed():
    files = conf_dir().rglob("*.yaml")
    shipped = {name for f in files for name in re.findall(r"_target_: ([\w.]+)", f.read_text())}
    assert len(shipped) > 100
    assert shipped == parts()
    assert not {name for name in parts() if name.startswith(("hydra", "builtins", "os.", "torch.load"))}


def test_what_the_user_trusts_by_name_is_trusted_and_nothing_beside_it(copy):
    forge(copy, "network.activation", {"_target_": "torch.nn.GELU", "_partial_": True})
    trusted_settings(copy.config)
    forge(copy, "model.likelihood", FIRE)
    for names in ([], ["trap.fires"], ["mylib.fire"]):
        with searched_first([], names), pytest.raises(RunError, match="trust="):
            trusted_settings(copy.config)
    given, rest = flags("evaluate", ["trust=['trap.fire', mylib.Encoder]", "run=X"])
    assert (given.trust, rest) == (["trap.fire", "mylib.Encoder"], ["run=X"])
    with searched_first([], given.trust):
        trusted_settings(copy.config)
        said = Invocation("aelab", ("evaluate",), (), tuple(given.trust)).argv(rest)
        assert flags("evaluate", said[2:])[0].trust == given.trust
    with pytest.raises(ConfigurationError, match="names no part"), searched_first([], ["mylib"]):
        pass


def test_mirrors_are_those_of_the_data_set_s_own_file():
    mnist = compose(["data=mnist"]).data
    shipped = list(mnist.source.mirrors)
    mnist.source.mirrors = ["http://elsewhere"]
    assert published_mirrors(mnist) == shipped
    for name in ("../data/mnist", "base/idx", "mine", "digits"):
        assert published_mirrors(OmegaConf.create({"name": name})) == []


@pytest.mark.parametrize("mirrors", ["http://elsewhere", {"a": "http://elsewhere"}, None, []])
def test_whatever_a_run_has_for_mirrors_is_replaced(mirrors):
    config = compose(["data=mnist"])
    shipped = list(config.data.source.mirrors)
    config.data.source.mirrors = mirrors
    assert placed(config).data.source.mirrors == shipped
    assert config.data.source.mirrors == mirrors


@pytest.mark.parametrize(
    "variant",
    few_quick(["vae", *sorted(set(choices("variant")) - OF_A_RUN - {*of_numbers("variant")})], every=99),
)
def test_a_run_of_the_project_is_trusted(tmp_path, variant):
    """As those of images are (`test_every_variant.py`)."""
    folder = RunFolder(tmp_path)
    config = compose([f"variant={variant}", "callback=ema", "lr_schedule=cosine", "logger=[wandb,csv]"])
    OmegaConf.save(config, folder.config)
    assert trusted_settings(folder.config) == config
