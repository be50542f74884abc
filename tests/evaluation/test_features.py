"""The feature network of a data set: trained once, the same anywhere, and used for its own data alone."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.errors import AelabError, ConfigurationError
from aelab.evaluation import features
from aelab.evaluation.features import Inception, feature_space
from aelab.evaluation.generation import Generation
from aelab.evaluation.subject import Subject
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load

CPU = torch.device("cpu")


def data_of(*overrides):
    data = construct(compose(overrides).data, "data")
    data.prepare_data()
    data.setup()
    return data


@pytest.fixture(scope="module")
def digits():
    return data_of()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A fresh cache; call it for another one."""

    def fresh(name):
        monkeypatch.setenv("AELAB_DATA", str(tmp_path / name))
        return tmp_path / name / ".features"

    fresh.folder = fresh("first")
    return fresh


@pytest.fixture(scope="module")
def kept(tmp_path_factory, digits):
    """The space of the digits and the file that keeps its network."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AELAB_DATA", str(folder))
        space = feature_space(digits, CPU)
    (path,) = folder.glob(".features/*")
    return space, path


def grey(images):
    return images.x.float() / 255


def test_a_network_is_trained_once_and_kept(digits, cache):
    first = feature_space(digits, CPU)
    (path,) = cache.folder.iterdir()
    before = path.stat()
    again = feature_space(data_of(), CPU)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert list(cache.folder.iterdir()) == [path]
    assert (again.name, again.accuracy, again.task) == (first.name, first.accuracy, first.task)
    images = grey(digits.observations("test"))
    assert all(torch.equal(a, b) for a, b in zip(first(images), again(images), strict=True))


def test_two_caches_hold_the_same_network_whatever_was_drawn_before(digits, kept, cache):
    torch.manual_seed(5)
    assert feature_space(digits, CPU).name == kept[0].name


def test_the_digits_are_told_apart(digits, kept):
    space, _ = kept
    assert space.task == "labels"
    assert space.name.startswith("classifier/digits@")
    assert space.accuracy > 0.9
    test = digits.observations("test")
    features, logits = space(grey(test))
    assert features.shape == (297, 64)
    assert logits.shape == (297, 10)
    assert (logits.argmax(1) == test.y).float().mean() > 0.9


def test_features_of_images_have_a_unit_of_their_own(digits, kept):
    features, _ = kept[0](grey(digits.observations("test")))
    assert features.var(0).mean().item() == pytest.approx(1, rel=0.2)


def test_features_do_not_depend_on_how_images_are_dealt_out(digits, kept):
    images = grey(digits.observations("test"))
    assert torch.allclose(kept[0](images, 7)[0], kept[0](images)[0], atol=1e-5)


@pytest.mark.parametrize(
    "overrides", [["data.validation=100"], ["data.split_seed=3"], ["values=dynamic", "seed=9"]]
)
def test_a_run_s_own_split_seed_and_noise_leave_the_space_alone(kept, cache, overrides):
    assert feature_space(data_of(*overrides), CPU).name == kept[0].name


def test_a_network_is_given_by_its_file(digits, kept, cache, tmp_path):
    shutil.copy(kept[1], tmp_path / "mine.ckpt")
    assert feature_space(digits, CPU, tmp_path / "mine.ckpt").name == kept[0].name
    assert not cache.folder.exists()


@pytest.fixture
def stranger(tmp_path):
    """Random images under another name, without labels and not square."""
    x = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 6), np.uint8)
    np.savez(tmp_path / "images.npz", x_train=x[:250], x_test=x[250:])
    return data_of("data=npz", f"data.root={tmp_path}/images.npz", "data.shape=[1,8,6]")


def test_a_network_of_other_data_is_refused_in_a_sentence_that_names_both(kept, stranger):
    with pytest.raises(ConfigurationError, match=r"\(digits; .*checksums.* differ\) than npz") as refusal:
        feature_space(stranger, CPU, kept[1])
    assert len(str(refusal.value).splitlines()) == 1


def test_the_labels_that_a_run_leaves_out_leave_the_network_of_those_that_use_them_alone(digits, cache):
    turned = feature_space(data_of("data.classes=null"), CPU)
    assert turned.task == "rotations"
    assert turned.accuracy > 0.6  # of four
    assert feature_space(digits, CPU).task == "labels"


def test_images_that_are_not_square_are_turned_too(stranger, cache):
    space = feature_space(stranger, CPU)
    assert space.task == "rotations"
    features, logits = space(grey(stranger.observations("test")))
    assert features.isfinite().all()
    assert logits.shape == (50, 4)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-40], lambda content: b"", lambda content: b"x" * 99]
)
def test_a_damaged_file_is_refused(digits, kept, tmp_path, damage):
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(damage(kept[1].read_bytes()))
    with pytest.raises(AelabError, match=r"damaged\.ckpt is damaged"):
        feature_space(digits, CPU, path)


@pytest.mark.parametrize("content", [b"damaged", None])
def test_a_kept_network_that_is_damaged_is_trained_again(digits, kept, cache, capsys, content):
    feature_space(digits, CPU)
    (path,) = cache.folder.iterdir()
    if content is None:
        AtomicCheckpointIO().save_checkpoint({**load(path), "weights": {}}, path)
    else:
        path.write_bytes(content)
    assert feature_space(digits, CPU).name == kept[0].name
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the feature network is trained again")
    assert list(cache.folder.iterdir()) == [path]
    assert feature_space(digits, CPU).name == kept[0].name
    assert capsys.readouterr().err == ""


def test_two_evaluations_may_train_it_at_once(digits, kept, cache, monkeypatch):
    """Each before the other has kept its own."""
    both, trained = threading.Barrier(2), load(kept[1])

    def late(*_):
        both.wait(10)
        return {name: trained[name] for name in ("weights", "sha256", "task", "classes", "accuracy", "shown")}

    monkeypatch.setattr(features, "_trained", late)
    writing = AtomicCheckpointIO.save_checkpoint

    def slowly(self, checkpoint, path, storage_options=None):
        monkeypatch.setattr("os.fsync", lambda _: both.wait(10))
        writing(self, checkpoint, path)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", slowly)
    with ThreadPoolExecutor(2) as pool:
        spaces = [pool.submit(feature_space, digits, CPU) for _ in range(2)]
        assert [space.result().name for space in spaces] == [kept[0].name] * 2
    assert len(list(cache.folder.iterdir())) == 1


def test_a_file_that_is_not_there_is_refused(digits, tmp_path):
    with pytest.raises(AelabError, match=r"none\.ckpt"):
        feature_space(digits, CPU, tmp_path / "none.ckpt")


class Published(nn.Module):
    """What the published file answers, from a network that is none of Inception's."""

    def __init__(self, size: int = 2048):
        super().__init__()
        self.body, self.head = nn.Linear(3, size), nn.Linear(size, 1008)

    def forward(self, img, return_features: bool = False, no_output_bias: bool = False):
        features = self.body(img.float().mean((2, 3)))
        if return_features:
            return features
        return self.head(features).softmax(1)


def test_inceptions_file_gives_its_features_of_grey_levels(tmp_path):
    torch.jit.script(Published()).save(tmp_path / "inception.pt")
    network = Inception(tmp_path / "inception.pt", CPU)
    images = torch.rand(230, 1, 8, 8)
    features, logits = network(images)
    expected = network.network.body((images * 255).round().mean((2, 3)).expand(-1, 3))
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(230))
    assert network.distance == "fid"


def test_another_file_is_no_inception(tmp_path):
    torch.jit.script(Published(64)).save(tmp_path / "small.pt")
    torch.jit.script(nn.ReLU()).save(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("weights")
    for name in ("small.pt", "other.pt", "text.pt", "none.pt"):
        with pytest.raises(ConfigurationError, match=f"inception=.*{name}"):
            Inception(tmp_path / name, CPU)


def test_no_floor_is_measured_on_what_the_network_learned_from(digits, kept):
    """Half of the source's training images, wherever a run's validation split has put them."""
    shown, part = kept[0].shown, Generation(count=200)
    of = Subject(None, digits, "digits", 0, CPU)
    unseen = part._unseen(of, kept[0])
    assert len(shown) == -(-len(digits.source.load().train) // 2)
    rows = digits.train_rows[digits.drawn("train")[unseen]]
    assert len(rows) > 400
    assert not set(rows.tolist()) & set(shown.tolist())
    images = digits.source.load().train.x[rows]
    assert torch.equal(of.expected("train")[unseen], images.float() / 255)
