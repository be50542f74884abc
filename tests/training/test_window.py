import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.errors import NonFiniteError
from aelab.training.window import Window

rows = st.lists(st.tuples(*[st.floats(-100, 100, width=32)] * 2), min_size=1, max_size=12)


def filled(values, samples=4, start=1):
    window = Window()
    for i, (first, second) in enumerate(values):
        window.append({"first": torch.tensor(first), "second": torch.tensor(second)}, start + i, samples)
    return window


def flush(window, reduce=lambda means: means):
    return window.flush(reduce)


@given(rows)
def test_a_flush_gives_the_mean_of_each_term(values):
    first, second = (math.fsum(pair[i] for pair in values) / len(values) for i in (0, 1))
    expected = {"first": first, "second": second}
    assert flush(filled(values)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_flush_counts_samples_and_not_batches():
    window = Window()
    for value, samples in ((1.0, 4), (2.0, 4), (5.0, 2)):
        window.append({"loss": torch.tensor(value)}, 1, samples)
    assert flush(window)["loss"] == pytest.approx((4 + 8 + 10) / 10)


def test_a_flush_empties_the_window():
    window = filled([(1.0, 2.0)])
    flush(window)
    window.append({"first": torch.tensor(5.0), "second": torch.tensor(7.0)}, 2, 4)
    assert flush(window) == {"first": 5.0, "second": 7.0}


def test_the_means_are_reduced_over_the_processes():
    assert flush(filled([(1.0, 3.0)]), reduce=lambda means: 2 * means) == {"first": 2.0, "second": 6.0}


def test_half_precision_is_averaged_in_double():
    window = Window()
    for value in (2048.0, 1.0, 1.0):
        window.append({"loss": torch.tensor(value, dtype=torch.float16)}, 1, 1)
    assert flush(window) == {"loss": 2050 / 3}


def test_a_window_holds_no_graph():
    weight = torch.ones((), requires_grad=True)
    window = Window()
    window.append({"loss": 2 * weight}, 1, 1)
    assert not any(row.requires_grad for row in window.rows)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@given(values=rows, data=st.data())
def test_what_is_not_finite_is_named_with_its_first_step(bad, values, data):
    row = data.draw(st.integers(0, len(values) - 1))
    name = data.draw(st.sampled_from(["first", "second"]))
    later = data.draw(st.integers(row, len(values) - 1))
    table = [dict(zip(("first", "second"), pair, strict=True)) for pair in values]
    table[row][name] = table[later][name] = bad
    start = data.draw(st.integers(1, 1000))
    window = filled([tuple(pair.values()) for pair in table], start=start)
    for look in (window.check, lambda: flush(window)):
        with pytest.raises(NonFiniteError, match=rf"{name} is {bad} at step {start + row};"):
            look()


def test_what_is_not_finite_elsewhere_is_an_error_here_too():
    with pytest.raises(NonFiniteError, match="another process before step 10"):
        flush(filled([(1.0, 2.0)], start=9), reduce=lambda means: means * math.nan)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@given(before=rows, after=rows)
def test_a_window_continued_from_its_state_flushes_the_same_bits(tmp_path_factory, dtype, before, after):
    whole, first, second = Window(), Window(), Window()

    def feed(windows, values):
        for a, b in values:
            for window in windows:
                terms = {"first": torch.tensor(a).to(dtype), "second": torch.tensor(b).to(dtype)}
                window.append(terms, 1, 4)

    feed([whole, first], before)
    path = tmp_path_factory.getbasetemp() / "window.ckpt"
    torch.save(first.state_dict(), path)
    second.load_state_dict(torch.load(path, weights_only=True))
    feed([whole, second], after)
    assert flush(whole) == flush(second)


def test_an_empty_window_continues_empty():
    window = filled([(1.0, 2.0)])
    window.load_state_dict(Window().state_dict())
    window.append({"loss": torch.tensor(3.0)}, 1, 1)
    assert flush(window) == {"loss": 3.0}


def test_the_throughput_counts_the_samples_since_the_clock_was_started():
    window = filled([(1.0, 2.0)] * 50, samples=1_000)
    assert window.samples_per_second() > 0
    assert window.samples_per_second() == 0
    window.append({"first": torch.tensor(0.0), "second": torch.tensor(0.0)}, 51, 1_000)
    window.start_clock()
    assert window.samples_per_second() == 0
