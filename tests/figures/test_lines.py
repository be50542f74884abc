import torch

from aelab.figures.lines import lines


def test_a_curve_is_high_where_the_number_is():
    (cell,) = lines(torch.tensor([[-1.0, 0.0, 1.0]]), reach=1.0)
    ink = (cell[0] < 0.5).float()
    height = [ink[:, place].nonzero().float().mean() for place in (2, ink.shape[1] // 2, -3)]
    assert height[0] > height[1] > height[2]


def test_any_number_of_values_fits():
    for size in (1, 2, 300):
        cells = lines(torch.randn(4, size), reach=3.0)
        assert cells.shape[:3] == (4, 1, 56)
        assert cells.shape[3] <= 112
        assert (cells < 0.5).flatten(1).any(1).all()
    assert lines(torch.zeros(2, 3), reach=0.0).isfinite().all()
