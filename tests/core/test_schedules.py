import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError
from aelab.core.schedules import (
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    Linear,
    Milestones,
    OfTraining,
    Stages,
    Switch,
    scheduled,
)

steps = st.integers(0, 10_000)
lengths = st.integers(1, 5_000)
values = st.floats(-10, 10)
schedules = st.one_of(
    st.builds(Constant, values),
    st.builds(Linear, lengths, values, values),
    st.builds(Cosine, lengths, values, values, st.integers(0, 100)),
    st.builds(Cyclic, lengths, st.integers(1, 6), st.floats(0.01, 1), values, values),
    st.builds(Switch, lengths, values, values),
    st.builds(Milestones, st.lists(steps, max_size=4), st.floats(0.1, 1)),
    st.builds(Exponential, lengths, st.floats(0.1, 1)),
    st.builds(Stages, lengths, st.integers(1, 9), st.floats(1.1, 4), st.floats(0.1, 1)),
)


@given(schedules, st.lists(steps, min_size=1, max_size=20))
def test_a_schedule_is_a_function_of_the_step_alone(schedule, visited):
    first = [schedule(step) for step in visited]
    assert [schedule(step) for step in reversed(visited)] == first[::-1]
    assert all(map(math.isfinite, first))


@given(values, steps)
def test_constant(value, step):
    assert Constant(value)(step) == value


@given(lengths, values, values, steps)
def test_linear_goes_from_start_to_end_and_stays(length, start, end, step):
    schedule = Linear(length, start, end)
    assert schedule(0) == pytest.approx(start)
    assert schedule(length + step) == pytest.approx(end)
    assert schedule(length) - schedule(length - 1) == pytest.approx((end - start) / length, abs=1e-9)


@pytest.mark.parametrize("build", [Linear, Cosine])
@given(length=lengths, start=values, end=values, a=steps, b=steps)
def test_ramps_are_monotonic_and_stay_between_their_ends(build, length, start, end, a, b):
    schedule = build(length, start, end)
    first, second = schedule(min(a, b)), schedule(max(a, b))
    assert (second - first) * (end - start) >= -1e-9
    assert min(start, end) - 1e-9 <= first <= max(start, end) + 1e-9


@given(lengths, values, values, st.integers(0, 4_000), steps)
def test_cosine_warms_up_to_its_start_then_falls_to_its_end(length, start, end, warmup, step):
    schedule = Cosine(warmup + length, start, end, warmup)
    assert schedule(warmup) == pytest.approx(start)
    assert schedule(warmup + length + step) == pytest.approx(end, abs=1e-9)
    if warmup:
        assert schedule(warmup - 1) == pytest.approx(start)
        assert schedule(0) == pytest.approx(start / warmup)


@given(st.integers(1, 500), values, values)
def test_cosine_is_symmetric_about_its_middle(half, start, end):
    schedule = Cosine(2 * half, start, end)
    assert schedule(half) == pytest.approx((start + end) / 2, abs=1e-9)
    assert schedule(half // 2) + schedule(2 * half - half // 2) == pytest.approx(start + end, abs=1e-9)


@given(lengths, st.integers(1, 6), st.floats(0.01, 1), values, values, steps)
def test_cyclic_repeats_itself_begins_at_its_start_and_stays_at_its_end(
    period, cycles, rise, start, end, step
):
    schedule = Cyclic(period * cycles, cycles, rise, start, end)
    for cycle in range(cycles - 1):
        at = cycle * period + step % period
        assert schedule(at) == pytest.approx(schedule(at + period))
        assert schedule(cycle * period) == pytest.approx(start)
        if step % period >= math.ceil(rise * period):
            assert schedule(at) == pytest.approx(end)
    assert schedule(period * cycles + step) == pytest.approx(end)


@given(lengths, st.floats(0.01, 1), steps)
def test_a_schedule_of_the_training_is_stretched_over_its_share(length, share, step):
    schedule = OfTraining(partial(Linear, start=2.0, end=5.0), share)
    assert schedule(step) == 2.0  # until it knows the training's length
    schedule.plan(length)
    assert schedule(step) == Linear(max(1, round(share * length)), 2.0, 5.0)(step)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigurationError, match="share"):
        OfTraining(Linear, share)


@given(st.lists(steps, min_size=1, max_size=5, unique=True), st.floats(0.1, 0.9))
def test_milestones_multiply_at_each_milestone(milestones, factor):
    schedule = Milestones(milestones, factor)
    for passed, milestone in enumerate(sorted(milestones)):
        assert schedule(milestone) == pytest.approx(factor ** (passed + 1))
    assert schedule(min(milestones) - 1) == 1


@given(st.integers(1, 100), st.floats(0.1, 1), st.integers(0, 300), st.integers(0, 300))
def test_exponential_turns_sums_of_steps_into_products(length, factor, a, b):
    schedule = Exponential(length, factor)
    assert schedule(length) == pytest.approx(factor)
    assert schedule(a + b) == pytest.approx(schedule(a) * schedule(b))


@given(st.integers(1, 6), st.integers(2, 5), st.integers(1, 40), st.floats(0.1, 0.9))
def test_stages_are_plateaus_each_longer_by_the_growth(stages, growth, first, factor):
    lengths = [first * growth**i for i in range(stages)]
    schedule = Stages(sum(lengths), stages, float(growth), factor)
    begin = 0
    for stage, length in enumerate(lengths):
        for step in (begin, begin + length - 1):
            assert schedule(step) == pytest.approx(factor**stage)
        begin += length
    # The end of the training, and whatever lies beyond it, is the last stage still.
    for step in (begin, begin + 1, 100 * begin):
        assert schedule(step) == pytest.approx(factor ** (stages - 1))


@given(st.integers(1, 100_000), st.integers(1, 9), st.floats(1.05, 4))
def test_stages_of_any_length_of_training_begin_whole_and_end_at_the_last_factor(length, stages, growth):
    schedule = Stages(length, stages, growth, 0.5)
    assert schedule(0) == 1
    assert schedule(length) == 0.5 ** (stages - 1)
    starts = [length * (growth**i - 1) / (growth**stages - 1) for i in range(1, stages)]
    for i, start in enumerate(starts, 1):
        before, after = math.ceil(start) - 1, math.floor(start) + 1
        if i == 1 or starts[i - 2] < before:
            assert schedule(before) == 0.5 ** (i - 1)
        if i == stages - 1 or after < starts[i]:
            assert schedule(after) == 0.5**i


def test_stages_by_default_are_those_of_burda():
    # 3^i passes over the data at the rate 0.001 * 10^(-i / 7), i = 0, ..., 7: 3280 in all.
    schedule = Stages(3280)
    rates = [10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert [schedule(epoch) for epoch in range(3280)] == pytest.approx(rates)


@pytest.mark.parametrize("options", [{"steps": 0}, {"stages": 0}, {"growth": 1.0}, {"growth": 0.5}])
def test_stages_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigurationError):
        Stages(**{"steps": 10, **options})


@given(schedules, values, steps)
def test_a_number_is_a_schedule_and_a_schedule_stays_itself(schedule, value, step):
    assert scheduled(schedule) is schedule
    assert scheduled(value)(step) == value
    assert isinstance(scheduled(3)(step), float)


WRITTEN = {
    "ramp": (["ramp", 2, 5, 0.5], partial(Linear, start=2, end=5), 0.5),
    "ramp over all": (["ramp", 2, 5], partial(Linear, start=2, end=5), 1.0),
    "cosine": (["cosine", 1, 0.1, 0.8], partial(Cosine, start=1, end=0.1), 0.8),
    "cycle": (["cycle", 0, 1, 3, 0.25], partial(Cyclic, cycles=3, rise=0.25), 1.0),
    "switch": (["switch", 0, 1, 0.3], partial(Switch, start=0, end=1), 0.3),
}


@pytest.mark.parametrize(("line", "schedule", "share"), WRITTEN.values(), ids=WRITTEN)
@given(length=lengths, step=steps)
def test_a_line_of_a_configuration_is_the_schedule_over_a_share_of_the_training(
    line, schedule, share, length, step
):
    found = scheduled(line)
    assert found(step) == schedule(steps=1)(0)
    found.plan(length)
    assert found(step) == schedule(steps=max(1, round(share * length)))(step)


@given(lengths, values, values)
def test_a_switch_has_two_values(length, start, end):
    schedule = Switch(length, start, end)
    assert [schedule(0), schedule(length - 1), schedule(length), schedule(2 * length)] == [
        start,
        start,
        end,
        end,
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["rmap", 0, 1], r"\[rmap, 0, 1\] is neither .* one of ramp, cosine, cycle, switch"),
        (["ramp", 0], r"\[ramp, 0\]: it is written \[ramp, start, end, share\] \(missing .*end"),
        (["switch", 0, 1], r"written \[switch, start, end, share\] \(missing .*share"),
        (["ramp", 0, 1, 0.5, 7], "too many"),
        (["ramp", 0, "one"], r"\[ramp, 0, one\]: it is written .*, with numbers"),
        (["ramp", 0, True], "with numbers"),
        (["ramp", 0, 1, 2.0], "share=2.0"),
        (["cycle", 0, 1, 0], "at least 1 cycle"),
        ([], r"\[\] is neither"),
        ([["ramp"], 1], "is neither"),
        ("ramp", "'ramp' is neither"),
        (None, "None is neither"),
        (math.nan, "nan is neither"),
        ({"ramp": [0, 1]}, "is neither a number nor a schedule"),
    ],
)
def test_what_is_neither_a_number_nor_a_schedule_is_refused_in_a_sentence(line, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        scheduled(line).plan(10)
    assert len(str(refused.value).splitlines()) == 1
