"""Recurrent networks over frames: shapes, and refusals."""

import pytest
import torch

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.frames import FramesDecoder, FramesEncoder


@pytest.mark.parametrize("context", [0, 2])
def test_every_frame_has_a_code_and_comes_back_in_its_place(context):
    torch.manual_seed(0)
    encoder = FramesEncoder(Sizes((1, 5, 7), context=context), width=4)
    decoder = FramesDecoder(Sizes((2, 5, 7), 3 * 7, (3, 1, 7), context=context), width=4)
    c = torch.randn(2, context) if context else None
    assert encoder(torch.randn(2, 1, 5, 7), c).shape == (2, *encoder.features) == (2, 8, 1, 7)
    z = torch.zeros(2, 3, 1, 7)
    told = z.clone()
    told[..., 3] = 1
    moved = (decoder(told.flatten(1), c) - decoder(z.flatten(1), c)).abs().amax((0, 1, 2))
    assert moved.shape == (7,)
    assert moved.argmax() == 3


@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_code_is_of_all_frames_or_of_those_up_to_its_own(bidirectional):
    encoder = FramesEncoder(Sizes((1, 5, 7)), width=4, bidirectional=bidirectional)
    x = torch.randn(1, 1, 5, 7, requires_grad=True)
    found = encoder(x)
    assert found.shape[1:] == encoder.features
    (slope,) = torch.autograd.grad(found[..., 3].sum(), x)
    read = (slope.abs().amax((0, 1, 2)) > 0).tolist()
    assert read == [bidirectional or frame <= 3 for frame in range(7)]


def test_what_has_no_frames_and_codes_of_another_grid_are_refused():
    with pytest.raises(ConfigurationError, match="network=mlp"):
        FramesEncoder(Sizes((9,)))
    with pytest.raises(ConfigurationError, match="for the encoder too"):
        FramesDecoder(Sizes((1, 5, 7), 4, (4,)))
