"""The worked example of CONTRIBUTING.md does what it says, as written there."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from small import SMALL

from aelab.composition import compose
from aelab.objectives.bounds import KL
from aelab.runs.build import build

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()


def block(language):
    (code,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return re.sub(r"^   ", "", code, flags=re.MULTILINE)


@pytest.fixture
def free_bits(tmp_path, monkeypatch):
    path = tmp_path / "free_bits.py"
    path.write_text(block("python"))
    spec = importlib.util.spec_from_file_location("aelab.objectives.free_bits", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module.FreeBits


@pytest.mark.parametrize("variant", ["vae", "cvae"])
def test_free_bits_without_a_floor_is_the_rate_and_never_below_its_floor(free_bits, variant):
    parts = build(compose([*SMALL, f"variant={variant}"]))
    model = parts.training.model
    trace = model(parts.data.val_examples(20))
    torch.testing.assert_close(free_bits(floor=0.0)(trace, model), KL()(trace, model))
    assert free_bits(floor=50.0)(trace, model).item() == pytest.approx(50 * 16)


def test_its_variant_trains(free_bits, train):
    (target,) = re.findall(r"_target_: (\S+)", block("yaml"))
    run = train(f"objective.terms.kl._target_={target}", "+objective.terms.kl.floor=0.1")
    assert f"_target_: {target}" in run.config.read_text()
