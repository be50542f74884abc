"""Networks of waves: what they see, and that they fit together for any strides and lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.waves import WaveDecoder, WaveEncoder


def pair(length, channels=(3, 4), strides=(2, 3), latent=2, context=0):
    torch.manual_seed(0)
    encoder = WaveEncoder(Sizes((1, length), context=context), channels, strides)
    layout = (latent, *encoder.features[1:])
    sizes = Sizes((1, length), layout=layout, latent=latent * layout[2], context=context)
    return encoder, WaveDecoder(sizes, channels, strides)


@settings(max_examples=12, deadline=None)
@given(
    strides=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    times=st.integers(1, 4),
    context=st.integers(0, 2),
)
def test_a_code_stands_for_every_step_of_a_wave_of_any_length(strides, times, context):
    length = torch.tensor(strides).prod().item() * times
    channels = [3, 4, 5][: len(strides)]
    encoder, decoder = pair(length, channels, strides, context=context)
    c = torch.eye(2)[[0, 1], :context] if context else None
    features = encoder(torch.randn(2, 1, length), c)
    assert features.shape == (2, *encoder.features) == (2, channels[-1], 1, times)
    back = decoder(torch.randn(2, 2 * times), c)
    assert back.shape == (2, 1, length)
    back.sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_a_code_is_of_what_lies_near_its_step():
    encoder, decoder = pair(6 * 40)
    x = torch.zeros(1, 1, 240)
    changed = x.clone()
    changed[..., 120] = 1
    moved = (encoder(changed) - encoder(x)).abs().amax((0, 1, 2))
    assert moved[20] > 0
    assert not moved[:15].any()
    assert not moved[26:].any()
    z = torch.zeros(1, 2, 1, 40)
    told = z.clone()
    told[..., 20] = 1
    heard = (decoder(told.flatten(1)) - decoder(z.flatten(1)))[0, 0].abs()
    assert heard[120:126].any()
    assert not heard[:80].any()
    assert not heard[160:].any()


@pytest.mark.parametrize(
    ("shape", "channels", "strides", "why"),
    [
        ((1, 40, 32), [4], [2], "choose view=waveform"),
        ((1, 100), [4, 4], [2], "each has a stride"),
        ((1, 100), [], [], "each has a stride"),
        ((1, 100), [4], [0], "each has a stride"),
        ((1, 100), [4, 4], [4, 4], "so that there are 96"),
    ],
)
def test_what_does_not_fit_is_refused(shape, channels, strides, why):
    with pytest.raises(ConfigurationError, match=why):
        WaveEncoder(Sizes(shape), channels, strides)


def test_codes_of_another_grid_are_refused():
    with pytest.raises(ConfigurationError, match="network=conv_1d for the encoder too"):
        WaveDecoder(Sizes((1, 24), layout=(8,), latent=8), [4], [2])
