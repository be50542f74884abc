"""Few images, and images that are all alike: each part says why it has no number, and none is absurd."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from known import CPU, SHAPE, Arrays, subject

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.data import kinds
from aelab.data.module import DataModule
from aelab.data.values import Grey
from aelab.evaluation import features
from aelab.evaluation.evaluate import evaluate

ABSURD = 1e6
LIKELIHOOD = {"elbo", "distortion", "kl", "bits_per_dim", "nll", "nll_bits_per_dim"}


@dataclass
class Few(Arrays):
    """The first of them, all of one grey level where that is given."""

    test: int = 300
    train: int = 4000
    level: int | None = None

    def load(self):
        whole = super().load()
        parts = {}
        for split, count in (("train", self.train), ("test", self.test)):
            found = getattr(whole, split).at(torch.arange(count))
            alike = found.x if self.level is None else torch.full_like(found.x, self.level)
            parts[split] = replace(found, x=alike)
        return replace(whole, **parts)


@pytest.fixture(scope="module")
def parts():
    with_anomalies = compose(["run=x", "suite=full"], "evaluate").suite.parts
    return {name: construct(node, name) for name, node in with_anomalies.items()}


@pytest.mark.parametrize(
    "source",
    [
        *(Few(test=count) for count in (1, 2)),
        *(pytest.param(Few(test=count), marks=pytest.mark.slow) for count in (3, 8, 12)),
        Few(train=7),
        pytest.param(Few(test=1, train=7), marks=pytest.mark.slow),
        Few(level=0),
        pytest.param(Few(level=100, test=12), marks=pytest.mark.slow),
    ],
    ids=lambda few: f"{few.train}-{few.test}-{few.level}",
)
def test_every_part_gives_sound_numbers_or_a_reason(source, parts, tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(features, "STEPS", 5)
    for name, options in {"likelihood": {"samples": 5, "codes": 50}, "stability": {"repeats": 2}}.items():
        for option, value in options.items():
            monkeypatch.setattr(parts[name], option, value)
    held_out = 1 if source.train < 100 else 50
    data = DataModule("grey", source, SHAPE, 4, 64, 500, held_out, kinds.Pixels(), Grey(), 0, (0, 1))
    of = replace(subject(), data=data, device=CPU)
    found = evaluate(of, parts, tmp_path / "evaluation")
    assert not [why for why in found.left_out.values() if why.startswith("failed")]
    assert all(why for why in {**found.left_out, **found.undefined}.values())
    for name, estimate in found.estimates.items():
        numbers = [estimate.value, *(estimate.interval or ()), *filter(None, [estimate.error])]
        assert all(math.isfinite(number) for number in numbers), name
        assert all(abs(number) < ABSURD for number in numbers), name
    assert {name.partition("/")[2] for name in found.estimates} >= LIKELIHOOD
