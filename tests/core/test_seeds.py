import inspect
import itertools
import os
import subprocess
import sys

import pytest
import torch

from aelab.core import seeds
from aelab.core.seeds import seed_generators, step_seed

CPU = torch.device("cpu")
POSITIONS = (range(5), ("train", "val"), range(10), range(100), range(10))


def test_distinct_positions_have_distinct_seeds():
    positions = list(itertools.product(*POSITIONS))
    drawn = {step_seed(*position) for position in positions}
    assert len(drawn) == len(positions) == 100_000
    assert all(0 <= seed < 2**63 for seed in drawn)


def test_neighbouring_positions_share_half_of_their_bits():
    drawn = [step_seed(0, "train", 0, batch) for batch in range(2_000)]
    differing = [(a ^ b).bit_count() for a, b in itertools.pairwise(drawn)]
    assert sum(differing) / len(differing) == pytest.approx(63 / 2, abs=5 * (63 / 4 / 2_000) ** 0.5)


def test_each_coordinate_has_its_own_place():
    coordinates = list(itertools.product(range(4), repeat=3))
    assert len({step_seed(0, "train", *c) for c in coordinates}) == len(coordinates)
    assert step_seed(1, "2") != step_seed(12, "")
    assert step_seed(0, "train", 1, 2) != step_seed(0, "train", 2, 1)
    assert step_seed(0, "train", batch=1) != step_seed(0, "train", rank=1)
    assert step_seed(1, "train", 2) != step_seed(2, "train", 1)


def test_another_process_computes_the_same_seed():
    code = "from aelab.core.seeds import step_seed; print(step_seed(3, 'train', 5, 7, 11))"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(other.stdout) == step_seed(3, "train", 5, 7, 11)


def test_a_seeded_generator_repeats_its_noise():
    draws = []
    for seed in (1, 2, 1):
        seed_generators(step_seed(seed, "train"), CPU)
        draws.append(torch.randn(20))
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])


def test_no_noise_is_drawn_to_make_a_seed():
    before = torch.get_rng_state()
    step_seed(0, "train", 1, 2, 3)
    assert torch.equal(before, torch.get_rng_state())
    assert "random" not in {name for name, value in vars(seeds).items() if inspect.ismodule(value)}
