"""The worked example of CONTRIBUTING.md does what it says, as written there."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml
from small import SMALL

from aelab.config.compose import compose
from aelab.objectives.bounds import ImportanceWeighted
from aelab.runs.build import build

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def block(language):
    (code,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return re.sub(r"^   ", "", code, flags=re.MULTILINE)


@pytest.fixture
def renyi(tmp_path, monkeypatch):
    path = tmp_path / "renyi.py"
    path.write_text(block("python"))
    spec = importlib.util.spec_from_file_location("aelab.objectives.renyi", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module.Renyi


@pytest.mark.parametrize("variant", ["vae", "cvae"])
def test_the_renyi_bound_lies_between_those_that_it_unites(renyi, variant):
    parts = build(compose([*SMALL, f"variant={variant}"]))
    model = parts.training.model
    trace = model(parts.data.val_examples(20), samples=6)
    tight, loose = ImportanceWeighted()(trace, model), ImportanceWeighted(groups=6)(trace, model)
    torch.testing.assert_close(renyi(alpha=0.0)(trace, model), tight)
    torch.testing.assert_close(renyi(alpha=0.999)(trace, model), loose, atol=0.05, rtol=0)
    between = [renyi(alpha=alpha)(trace, model).item() for alpha in (0.3, 0.6, 0.9)]
    assert tight.item() < between[0] < between[1] < between[2] < loose.item()


def test_its_variant_trains(renyi, train):
    variant = yaml.safe_load(block("yaml"))
    term = variant["objective"]["terms"]["reconstruction"]
    run = train(
        "objective=reconstruction",
        f"objective.samples={variant['objective']['samples']}",
        f"objective.terms.reconstruction._target_={term['_target_']}",
        f"+objective.terms.reconstruction.alpha={term['alpha']}",
    )
    assert f"_target_: {term['_target_']}" in run.config.read_text()
