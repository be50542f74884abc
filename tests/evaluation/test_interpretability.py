"""Pictures of what codes stand for, read back pixel by pixel, and the ways between two codes."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known import SIDE, subject
from PIL import Image

from aelab.evaluation.interpretability import Interpretability, spherical
from aelab.evaluation.reconstruction import Reconstruction
from aelab.figures.grids import GAP, LINE

HEAD = GAP + LINE


def cells(path, rows, columns, head=0):
    """The images of a grid below its headings, as (rows, columns, height, width)."""
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L")).astype(int)[head:]
    size = (grey.shape[0] - GAP) // rows - GAP
    left = grey.shape[1] - columns * (size + GAP)
    step = size // SIDE
    where = [step // 2 + step * i for i in range(SIDE)]
    return np.array(
        [
            [
                grey[
                    np.ix_(
                        [GAP + i * (size + GAP) + w for w in where],
                        [left + j * (size + GAP) + w for w in where],
                    )
                ]
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    )


def test_a_traversal_changes_what_its_dimension_stands_for_and_nothing_else(found):
    of = subject()
    findings = found(Interpretability(dimensions=3, columns=5, pairs=2, images=300), of)
    shown = cells(next(p for p in findings.figures if p.stem == "traversals"), 3, 5, HEAD).reshape(3, 5, 4)
    codes = of.codes("test", 300)
    order = of.dimensions.order[:3]
    for row, unit in zip(shown, order, strict=True):
        others = [i for i in range(4) if i != unit]
        assert (np.ptp(row[:, others], axis=0) == 0).all()
        assert row[0, others] == pytest.approx(255 * codes[0, others], abs=1)
        reach = codes[:, unit].mean() + np.linspace(-3, 3, 5) * codes[:, unit].std()
        assert row[:, unit] == pytest.approx((255 * reach).clip(0, 255), abs=1)


def test_interpolations_end_at_the_images_of_their_codes(found):
    of = subject()
    findings = found(Interpretability(dimensions=1, columns=5, pairs=3, images=100), of)
    codes = 255 * of.codes("test", 6)
    for kind in ("linear", "spherical"):
        shown = cells(next(p for p in findings.figures if p.stem == f"interpolations_{kind}"), 3, 5, HEAD)
        shown = shown.reshape(3, 5, 4)
        assert shown[:, 0] == pytest.approx(codes[:3], abs=1)
        assert shown[:, -1] == pytest.approx(codes[3:], abs=1)
        if kind == "linear":
            assert shown[:, 2] == pytest.approx((codes[:3] + codes[3:]) / 2, abs=1)


def test_the_worst_reconstructions_are_shown_worst_first(found):
    of = subject()
    findings = found(Reconstruction(worst=5), of)
    with findings.tables[0].open() as file:
        errors = [float(row["squared_error"]) for row in csv.DictReader(file)]
    worst = np.argsort(-np.array(errors), kind="stable")[:5]
    images = of.data.observations("test").x.numpy()[:, 0]
    first, last = findings.figures
    assert cells(last, 2, 5)[0] == pytest.approx(images[worst], abs=1)
    assert cells(first, 2, 16)[0] == pytest.approx(images[of.data.drawn("test")[:16]], abs=1)
    assert findings.estimates["reconstruction/mse"].value == pytest.approx(np.exp(-4), rel=0.1)


VECTORS = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=6)
WAY = torch.linspace(0, 1, 7)[:, None]


@given(VECTORS, st.data())
def test_spherical_interpolation_begins_and_ends_at_its_codes(values, data):
    a = torch.tensor(values)
    b = torch.tensor(data.draw(st.lists(st.floats(-5, 5, width=32), min_size=len(a), max_size=len(a))))
    between = spherical(a, b, WAY)
    assert between.shape == (7, len(a))
    assert between.isfinite().all()
    assert torch.allclose(between[0], a, atol=1e-5)
    assert torch.allclose(between[-1], b, atol=1e-5)


@given(VECTORS, st.integers(0, 1000), st.floats(0.1, 10))
def test_spherical_interpolation_keeps_the_norm_and_turns_evenly(values, seed, norm):
    a = torch.tensor(values).double() + 0.1
    b = torch.randn(len(a), generator=torch.Generator().manual_seed(seed)).double()
    if a.norm() < 0.1 or not abs(torch.cosine_similarity(a, b, 0)) < 0.99:
        return
    a, b = norm * a / a.norm(), norm * b / b.norm()
    between = spherical(a, b, WAY.double())
    assert torch.allclose(between.norm(dim=1), torch.tensor(norm).double(), rtol=1e-6)
    steps = (between[1:] - between[:-1]).norm(dim=1)
    assert torch.allclose(steps, steps[:1], rtol=1e-6)


@given(VECTORS, st.floats(-4, 4).filter(lambda factor: abs(factor) > 0.1))
def test_between_parallel_codes_spherical_interpolation_is_linear(values, factor):
    a = torch.tensor(values).double()
    b = factor * a
    assert torch.allclose(spherical(a, b, WAY.double()), torch.lerp(a, b, WAY.double()), atol=1e-9)
