"""A compressed file: back in another process, and refused where it is not what it was."""

import bz2
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import aelab
from aelab.cli.compress import main as compress
from aelab.cli.decompress import main as decompress
from aelab.config.compose import compose
from aelab.core.errors import AelabError


@pytest.fixture(scope="module")
def run(train_once):
    return train_once("values=grey", "likelihood=beta_binomial")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for place, level in enumerate(np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)):
        Image.fromarray(level).save(folder / f"picture {place:02}.png")
    return folder


@pytest.fixture(scope="module")
def file(run, pictures, tmp_path_factory):
    to = tmp_path_factory.mktemp("file") / "pictures.ael"
    compress(compose([f"run={run.path}", f"from={pictures}", f"to={to}", "codes=2"], "compress"))
    return to


def decompressed(run, file, to):
    decompress(compose([f"run={run.path}", f"from={file}", f"to={to}"], "decompress"))


def test_another_process_with_other_threads_gives_the_same_pictures(run, pictures, file, tmp_path):
    code = "import torch; torch.set_num_threads(2); from aelab.cli.console import main; main()"
    words = ["decompress", f"run={run.path}", f"from={file}", f"to={tmp_path / 'to'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code, *words], check=True, env=environment, timeout=170)
    found = sorted((tmp_path / "to").iterdir())
    expected = sorted(pictures.iterdir())
    assert [path.name for path in found] == [path.name.replace(" ", "-") for path in expected]
    assert all(np.array_equal(Image.open(a), Image.open(b)) for a, b in zip(found, expected, strict=True))


def test_an_array_comes_back_as_an_array(run, tmp_path):
    x = np.random.default_rng(1).integers(0, 256, (7, 1, 8, 8), np.uint8)
    given, file, back = (tmp_path / name for name in ("given.npz", "x.ael", "back.npz"))
    np.savez(given, x=x)
    compress(compose([f"run={run.path}", f"from={given}", f"to={file}"], "compress"))
    decompressed(run, file, back)
    assert np.array_equal((np.load(back)["x"] * 255).round(), x)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content[:-40], "was cut off or altered"),
        (lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:], "was cut off or altered"),
        (lambda content: b"PK" + content, "is no compressed file"),
    ],
)
def test_an_altered_file_is_refused_and_nothing_written(run, file, tmp_path, change, sentence):
    (tmp_path / "bad.ael").write_bytes(change(file.read_bytes()))
    with pytest.raises(AelabError, match=sentence):
        decompressed(run, tmp_path / "bad.ael", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_another_version_and_another_models_file_are_refused(run, file, train_once, tmp_path):
    import hashlib

    body = bytearray(file.read_bytes()[:-16])
    body[6:8] = struct.pack("<H", 9)
    (tmp_path / "new.ael").write_bytes(bytes(body) + hashlib.sha256(body).digest()[:16])
    with pytest.raises(AelabError, match="of version 9"):
        decompressed(run, tmp_path / "new.ael", tmp_path / "to")
    other = train_once("values=grey", "likelihood=beta_binomial", "seed=1")
    with pytest.raises(AelabError, match="by other weights"):
        decompressed(other, file, tmp_path / "to")


def test_what_has_no_levels_or_other_ones_is_refused(run, train_once):
    binary = aelab.load(train_once("values=threshold").path)
    grey = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    with pytest.raises(AelabError, match="are grey"):
        binary.compress(grey)
    black = (grey > 99).to(torch.uint8) * 255
    assert torch.equal(binary.decompress(binary.compress(black)), black)
    with pytest.raises(AelabError, match="between the 256"):
        aelab.load(run.path).compress(torch.rand(3, 1, 8, 8))
    vectors = aelab.load(train_once("data=iris", "likelihood=gaussian").path)
    with pytest.raises(AelabError, match="real numbers have no levels"):
        vectors.compress(torch.rand(3, 4))


def test_a_model_of_labels_is_told_them(train_once):
    model = aelab.load(train_once("variant=cvae", "values=threshold").path)
    black = (torch.randint(0, 256, (5, 1, 8, 8)) > 99).to(torch.uint8) * 255
    assert torch.equal(model.decompress(model.compress(black, y=[1, 2, 3, 4, 5])), black)


def test_a_source_of_black_and_white_has_two_levels_whatever_its_values(train_once):
    """As published binarised images with values=grey: the likelihood knows."""
    model = aelab.load(train_once("values=grey").path)
    assert model.count_of_levels() == 2
    black = (torch.randint(0, 256, (3, 1, 8, 8)) > 99).to(torch.uint8) * 255
    assert torch.equal(model.decompress(model.compress(black)), black)


def test_other_ways_are_printed_beside_it(run, pictures, tmp_path, capsys):
    compress(compose([f"run={run.path}", f"from={pictures}", f"to={tmp_path / 'a.ael'}"], "compress"))
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(printed) == ["file", "PNG", "WebP", "JPEG-XL", "gzip", "bz2", "lzma"]
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(pictures.iterdir())])
    size = len(bz2.compress(pixels.tobytes()))
    assert printed["bz2"] == f"{size:,} bytes, {8 * size / pixels.size:.4f} bits for each value"


@pytest.fixture(scope="module")
def lossy(train_once):
    """By a grid, and by a codebook with a prior that reads earlier symbols."""
    return {
        "0.25": train_once("variant=ae", "values=grey"),
        "codebook": train_once("variant=vq_vae", "prior=transformer", "values=grey"),
    }


@pytest.mark.parametrize("way", ["0.25", "codebook"])
def test_a_lossy_file_gives_what_its_codes_are_decoded_to(lossy, way, pictures, tmp_path):
    file, to = tmp_path / "a.ael", tmp_path / "to"
    compress(
        compose([f"run={lossy[way].path}", f"from={pictures}", f"to={file}", f"lossy={way}"], "compress")
    )
    decompressed(lossy[way], file, to)
    model = aelab.load(lossy[way].path)
    given = torch.from_numpy(np.stack([np.asarray(Image.open(p))[None] for p in sorted(pictures.iterdir())]))
    found = np.stack([np.asarray(Image.open(path))[None] for path in sorted(to.iterdir())]) / 255
    error = np.abs(found - model.reconstruct(given).numpy()).max()
    assert error < (0.003 if way == "codebook" else 0.1)
    (tmp_path / "bad.ael").write_bytes(file.read_bytes()[:-30])
    with pytest.raises(AelabError, match="was cut off or altered"):
        decompressed(lossy[way], tmp_path / "bad.ael", tmp_path / "bad")


@pytest.mark.parametrize(
    ("name", "override", "sentence"),
    [
        ("0.25", "lossy=codebook", "the step of a grid"),
        ("codebook", "lossy=0.25", "no real vectors"),
        ("0.25", "lossy=0", "step=0"),
        ("0.25", "lossy=much", "lossy=much"),
    ],
)
def test_the_wrong_loss_is_refused_and_nothing_written(lossy, name, override, sentence, pictures, tmp_path):
    to = tmp_path / "a.ael"
    with pytest.raises(AelabError, match=sentence):
        compress(compose([f"run={lossy[name].path}", f"from={pictures}", f"to={to}", override], "compress"))
    assert not to.exists()
