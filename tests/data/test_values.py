import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.data.values import Dynamic, Fixed, Grey, Plain, Standardised, Threshold, valued

LEVELS = torch.arange(256, dtype=torch.uint8)
SEEDS = st.integers(0, 2**32 - 1)  # a CPU generator heeds no more bits


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rule", [Grey(), Dynamic(), Fixed(), Threshold()])
def test_values_are_floats_of_the_same_shape_in_the_unit_interval(rule):
    x = LEVELS.view(4, 1, 8, 8)
    kept = x.clone()
    values = rule(rule.prepare(x), generator())
    assert values.shape == x.shape
    assert values.dtype == torch.float32
    assert values.min() >= 0
    assert values.max() <= 1
    assert torch.equal(x, kept)


def test_grey_is_the_level_over_255_and_draws_nothing():
    noise = generator()
    state = noise.get_state()
    values = Grey()(LEVELS, noise)
    torch.testing.assert_close(values.double(), LEVELS.double() / 255, rtol=1e-6, atol=0)
    assert values[0] == 0
    assert values[255] == 1
    assert torch.equal(noise.get_state(), state)


@pytest.mark.parametrize("draw", [Dynamic(), Fixed()])
def test_a_draw_has_the_level_as_its_mean_exactly_at_both_ends(draw):
    count = 40_000
    x = LEVELS.expand(count, 256)
    values = draw(draw.prepare(x), generator())
    assert set(values.unique().tolist()) == {0.0, 1.0}
    p = LEVELS.double() / 255
    error = (values.double().mean(0) - p).abs()
    assert (error <= 5 * (p * (1 - p) / count).sqrt()).all()  # at 0 and 255 this is equality


def test_draws_of_neighbouring_pixels_are_independent():
    x = torch.full((2000, 64), 128, dtype=torch.uint8)
    values = Dynamic()(x, generator()) - 128 / 255
    correlation = torch.corrcoef(values.T).fill_diagonal_(0)
    assert correlation.abs().max() < 5.5 / 2000**0.5


@given(SEEDS, SEEDS)
def test_dynamic_follows_from_the_generator_alone(seed, other):
    x = torch.full((4, 100), 128, dtype=torch.uint8)
    torch.manual_seed(other)
    first = Dynamic()(x, generator(seed))
    torch.manual_seed(other + 1)
    assert torch.equal(first, Dynamic()(x, generator(seed)))
    assert (seed == other) == torch.equal(first, Dynamic()(x, generator(other)))


def test_dynamic_is_afresh_in_each_call():
    noise, x = generator(), torch.full((4, 100), 128, dtype=torch.uint8)
    assert not torch.equal(Dynamic()(x, noise), Dynamic()(x, noise))


def test_fixed_is_the_same_each_time_and_another_for_another_seed():
    x = torch.full((4, 100), 128, dtype=torch.uint8)
    kept = Fixed(3).prepare(x)
    assert torch.equal(kept, Fixed(3).prepare(x))
    assert not torch.equal(kept, Fixed(4).prepare(x))
    assert torch.equal(Fixed(3)(kept, generator(1)), Fixed(3)(kept, generator(2)))


@given(st.floats(0, 1))
def test_threshold_is_a_comparison(level):
    threshold = Threshold(level)
    values = threshold(threshold.prepare(LEVELS), generator())
    assert values.tolist() == [float(v > level * 255) for v in range(256)]


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_a_level_outside_the_unit_interval_is_refused(level):
    with pytest.raises(ConfigurationError, match=r"data\.values\.level"):
        Threshold(level).prepare(LEVELS)


ROWS = torch.tensor([[1.0, 5.0, 100.0], [3.0, 5.0, 300.0], [8.0, 5.0, 200.0]])


def standardised():
    values = Standardised()
    values.fit(lambda: ROWS)
    return values


def test_standardised_values_have_mean_zero_and_deviation_one_where_they_vary():
    x = standardised()(ROWS, generator())
    assert_close(x.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    assert_close(x.std(0, correction=0), torch.tensor([1.0, 0.0, 1.0]))
    assert_close(standardised().restore(x), ROWS)


def test_what_was_learned_travels_as_plain_numbers():
    other = Standardised()
    other.load(json.loads(json.dumps(standardised().state())))
    assert torch.equal(other(ROWS, generator()), standardised()(ROWS, generator()))
    assert Plain().state() == Grey().state() == {}
    for wrong in ({}, {"mean": [0.0]}, {"mean": [0.0], "deviation": [0.0]}, {"mean": "a", "deviation": "b"}):
        with pytest.raises((LookupError, TypeError, ValueError)):
            Standardised().load(wrong)


def test_a_density_changes_with_its_units_by_the_log_volume():
    values = standardised()
    jacobian = torch.autograd.functional.jacobian(values.restore, torch.zeros(3))
    assert values.log_volume == pytest.approx(jacobian.det().abs().log().item(), rel=1e-6)
    assert Grey().log_volume == Plain().log_volume == 0


def test_only_values_that_are_scaled_levels_are_described_by_bits():
    for rule in (Grey(), Dynamic(), Fixed(), Threshold()):
        x = rule(rule.prepare(torch.arange(256, dtype=torch.uint8).repeat(50)), generator())
        assert 2**-rule.bits == pytest.approx(float(x.unique().diff().min()), rel=1e-4)  # their spacing
    assert Standardised().bits is Plain().bits is None


def test_what_is_of_another_type_than_what_is_stored_are_values_already():
    x = torch.rand(2, 3)
    assert valued(x, Dynamic()) is x
    assert torch.equal(valued(ROWS, standardised()), standardised()(ROWS, generator()))
