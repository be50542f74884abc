import pytest
from servers import Quiet

from aelab.core.errors import DataError


class Breaking(Quiet):
    """Promises a whole file and hangs up after half of it."""

    def do_GET(self):  # noqa: N802
        content = open(self.translate_path(self.path), "rb").read()  # noqa: SIM115, PTH123
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "tiny"


@pytest.fixture
def good(published, tmp_path, serve):
    return serve(published.write(tmp_path / "good"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


COMPLETE = ["test_images.gz", "test_labels.gz", "train_images.gz", "train_labels.gz"]


@pytest.mark.parametrize("known", ["unpacked", "packed"])
def test_files_are_downloaded_once(published, cache, good, known):
    source = published.source(mirrors=(good,), known=known)
    source.prepare()
    assert names(cache) == COMPLETE
    assert source.load().train.x.shape == (40, 1, 4, 3)
    published.source(mirrors=("http://127.0.0.1:9/",), known=known).prepare()


def test_the_next_mirror_serves_what_the_first_does_not_have(published, cache, good, serve, tmp_path):
    (tmp_path / "empty").mkdir()
    published.source(mirrors=(serve(tmp_path / "empty"), good)).prepare()
    assert names(cache) == COMPLETE


@pytest.mark.parametrize("known", ["unpacked", "packed"])
def test_wrong_contents_are_never_kept_and_the_next_mirror_is_tried(
    published, cache, good, serve, tmp_path, known
):
    wrong = published.write(tmp_path / "wrong")
    (wrong / "train_images.gz").write_bytes(b"<html>not here</html>")
    bad = serve(wrong)
    with pytest.raises(DataError, match=f"{bad}train_images.gz: wrong checksum"):
        published.source(mirrors=(bad,), known=known).prepare()
    assert names(cache) == []
    source = published.source(mirrors=(bad, good), known=known)
    source.prepare()
    assert len(source.load().test) == 10


def test_half_a_file_is_never_kept(published, cache, good, serve, tmp_path):
    broken = serve(tmp_path / "good", Breaking)
    with pytest.raises(DataError, match="put train_images"):
        published.source(mirrors=(broken,)).prepare()
    assert names(cache) == []
    published.source(mirrors=(broken, good)).prepare()
    assert names(cache) == COMPLETE


def test_without_a_network_the_message_says_what_to_put_where(published, cache):
    with pytest.raises(DataError) as caught:
        published.source(mirrors=("http://127.0.0.1:9/",)).prepare()
    message = str(caught.value)
    for expected in ("train_images, train_labels, test_images, test_labels", str(cache), "data.root=FOLDER"):
        assert expected in message


def test_a_given_root_is_never_downloaded_into(published, good, tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    with pytest.raises(DataError, match="put train_images"):
        published.source(root, mirrors=(good,)).prepare()
    assert names(root) == []
