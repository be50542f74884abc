"""What is read of pictures of every depth, number of channels, transparency and frame."""

import io
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from aelab.core.errors import DataError
from aelab.data.kinds import Pixels
from aelab.figures.decoding import Decoder, Notes, OutOfRangeError, decoded
from aelab.figures.images import as_tensor

DRAW = np.random.default_rng(0)


def png16(samples):
    """A 16-bit PNG after the specification: Pillow writes none of several channels."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def tiff(samples, **options):
    tifffile = pytest.importorskip("tifffile", reason="the extra `bands` is not installed")
    content = io.BytesIO()
    tifffile.imwrite(content, samples, photometric="minisblack", planarconfig="contig", **options)
    return content.getvalue()


def encoded(image, suffix="png", **options):
    content = io.BytesIO()
    image.save(content, suffix, **options)
    return content.getvalue()


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def ppm(array):
    return b"P6\n%d %d\n65535\n" % array.shape[1::-1] + array.astype(">u2").tobytes()


@pytest.mark.parametrize("write", [png16, tiff, ppm, npy])
def test_no_bit_of_deep_colours_is_lost(write):
    """Samples 0..1020 in the declared range are all 256 levels, where their upper bytes are four."""
    samples = DRAW.permuted(np.arange(0, 1021, 4, dtype=np.uint16).repeat(3)).reshape(16, 16, 3)
    samples.flat[:2] = 0, 1020
    pixels = Decoder((0, 1020))(write(samples), (3, 16, 16), "x")
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.rint(samples / 4).astype(np.uint8))
    assert len(np.unique(pixels)) > 200
    with pytest.raises(OutOfRangeError, match=r"x holds values from 0 to 1020.*range=\[0,1020\] would work"):
        Decoder()(write(samples), (3, 16, 16), "x")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 5, 8, 16])
@pytest.mark.parametrize("write", [tiff, npy])
def test_every_channel_is_kept(write, channels, dtype):
    samples = DRAW.integers(0, 256, (4, 6, channels)).astype(dtype)
    pixels = Decoder((0, 255))(write(samples), (channels, 4, 6), "x")
    np.testing.assert_array_equal(pixels, samples.transpose(2, 0, 1))
    with pytest.raises(DataError, match=rf"has {channels} channels, .*data\.shape=\[{channels},4,6\] would"):
        Decoder((0, 255))(write(samples), (7, 4, 6), "x")
    seen = Pixels().visible(torch.from_numpy(pixels)[None])
    assert seen.shape[1] in (1, 3)


@pytest.mark.parametrize("background", ["white", "black"])
@pytest.mark.parametrize("depth", ["RGBA", "LA", "P", "16 bits"])
def test_transparent_pixels_show_the_background_and_not_what_is_beneath(depth, background):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (10, 10, 10, 255))
    if depth == "16 bits":
        content = png16(np.asarray(image).astype(np.uint16) * 257)
    elif depth == "P":
        palette = Image.new("P", (2, 1), 0)
        palette.putpalette([255, 0, 0, 10, 10, 10])
        palette.putpixel((1, 0), 1)
        content = encoded(palette, transparency=0)
    else:
        content = encoded(image.convert(depth))
    changes = Counter()
    pixels = Decoder((0, 65535), background)(content, (3, 1, 2), "x", changes=changes)
    beneath = {"white": 255, "black": 0}[background]
    assert pixels[:, 0].tolist() == [[beneath, 10]] * 3
    assert changes[f"transparent pixels on {background}"] == 1


def test_an_opaque_alpha_changes_nothing():
    image = Image.fromarray(DRAW.integers(0, 256, (3, 4, 3), np.uint8))
    changes = Counter()
    found = Decoder()(encoded(image.convert("RGBA")), (3, 3, 4), "x", changes=changes)
    np.testing.assert_array_equal(found.transpose(1, 2, 0), image)
    assert not changes


def test_further_frames_are_counted():
    frames = [Image.new("L", (3, 2), level) for level in (7, 200)]
    content, changes = encoded(frames[0], "gif", save_all=True, append_images=frames[1:]), Counter()
    assert Decoder()(content, (1, 2, 3), "x", changes=changes).max() == 7
    assert changes == {"the first of several frames": 1}


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_turned_pictures_are_measured_upright(depth):
    """Sizes are compared as they are seen: a square model never takes what is only alike when sorted."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = encoded(Image.fromarray(np.arange(6, dtype=depth).reshape(2, 3)), exif=exif)
    decoder = Decoder((0, 255))
    assert decoder(picture, (1, 3, 2), "x", resize=False)[0].tolist() == [[3, 0], [4, 1], [5, 2]]
    with pytest.raises(DataError, match="x is 3x2, and the model takes 2x3"):
        decoder(picture, (1, 2, 3), "x", resize=False)


def test_the_advised_range_holds_all_pictures():
    samples = [np.full((2, 2, 3), value, np.uint16) for value in (300, 5, 4000)]
    samples[1][0, 0, 0] = 1

    def pictures():
        return ((png16(one), str(place)) for place, one in enumerate(samples))

    with pytest.raises(OutOfRangeError, match=r"range=\[1,4000\] would work"):
        list(decoded(pictures, 3, (3, 2, 2), "x", Decoder(), Notes()))
    assert len(list(decoded(pictures, 3, (3, 2, 2), "x", Decoder((1, 4000)), Notes()))) == 3


@pytest.mark.parametrize(
    ("shape", "given"), [((3, 4, 5), (4, 5, 3)), ((1, 8, 8), (8, 8, 1)), ((1, 8, 8), (8, 8))]
)
@pytest.mark.parametrize("count", [None, 1, 2])
def test_arrays_are_taken_however_their_channels_stand(shape, given, count):
    x = DRAW.integers(0, 256, given if count is None else (count, *given), np.uint8)
    expected = np.moveaxis(x, -1, -3) if len(given) == 3 else x[..., None, :, :]
    for numbers in (x, torch.from_numpy(x), (x / 255).astype(np.float32), x.astype(np.int64)):
        found = as_tensor(numbers, shape)
        scaled = found / 255 if found.dtype == torch.uint8 else found
        expected_shape = (count or 1, *shape)
        assert tuple(found.shape) == expected_shape
        np.testing.assert_allclose(scaled, expected.reshape(expected_shape) / 255, atol=1e-6)


def test_whole_numbers_are_in_the_declared_range_and_floats_are_values():
    x = np.array([[0, 2048], [4095, 1]], np.uint16)
    assert as_tensor(x, (1, 2, 2), decoder=Decoder((0, 4095))).flatten().tolist() == [0, 128, 255, 0]
    with pytest.raises(DataError, match=r"as \(x - 0\) / 4095"):
        as_tensor(x.astype(np.float32), (1, 2, 2), decoder=Decoder((0, 4095)))
    with pytest.raises(OutOfRangeError, match="0 to 4095"):
        as_tensor(x, (1, 2, 2))


def test_a_picture_that_pillow_has_opened_is_not_cut():
    samples = np.full((2, 2, 3), 1020, np.uint16)
    with Image.open(io.BytesIO(png16(samples))) as picture:
        assert as_tensor(picture, (3, 2, 2), decoder=Decoder((0, 1020))).min() == 255
