"""The site builds strictly, every link in it leads somewhere, and it can be read without a network."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
LINKS = {"a": "href", "img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


class Document(HTMLParser):
    """A page's links by (tag, address), and the anchors that it offers."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if given.get(LINKS.get(tag)):
            self.links.append((tag, given[LINKS[tag]]))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: each page by its path."""
    pytest.importorskip("mkdocs", reason="the site's tools are not installed")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return {path: Document(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}


def is_external(link):
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def broken(site):
    """What cannot be followed, of the links that stay in the site."""
    for path, document in site.items():
        if path.name == "404.html":  # is served from any address, so that its links start at the root
            continue
        for _, link in document.links:
            parts = urlsplit(link)
            if is_external(link):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{path.name}: {link} leads nowhere"
            elif parts.fragment and target in site and unquote(parts.fragment) not in site[target].anchors:
                yield f"{path.name}: {link} has no such place"


def test_every_link_and_picture_resolves(site):
    assert len(site) > 40
    assert list(broken(site)) == []


def test_a_broken_link_would_be_found(tmp_path):
    page, other = tmp_path / "page.html", tmp_path / "other.html"
    other.touch()
    text = '<a href="other.html#there"></a><a href="none.html"></a><img src="no.png"><a href="https://x.org">'
    found = list(broken({page: Document(text), other: Document('<p id="here">')}))
    assert [line.split()[1] for line in found] == ["other.html#there", "none.html", "no.png"]


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = [
        (path.name, tag, link)
        for path, document in site.items()
        for tag, link in document.links
        if tag != "a"
    ]
    assert [entry for entry in fetched if is_external(entry[2])] == []
    folder = next(path for path in site if path.name == "404.html").parent
    for style in folder.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8"), style.name
