"""The page in a real browser: sliders move the image, and nothing leaves the machine."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from chromium import chromium

pytest.importorskip("gradio", reason="the page needs the extra [ui]")
SHOWN = "[...document.querySelectorAll('img')].filter(i => i.offsetParent)"
SCRIPT = Path(__file__).parents[3] / "scripts" / "explore.py"


@pytest.fixture(scope="module")
def address(train_once, script_environment):
    """Of a page with a run beside itself under another seed, served by the script."""
    runs = [train_once("variant=cvae", f"seed={seed}") for seed in (0, 1)]
    command = [sys.executable, SCRIPT, f"runs=[{runs[0].path},{runs[1].path}]", "device=cpu", "port=0"]
    with subprocess.Popen(command, env=script_environment, stdout=subprocess.PIPE, text=True) as server:
        yield re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline()).group()
        server.terminate()


def test_every_dimension_has_its_slider_on_one_of_the_pages():
    from aelab.cli.explorer.page import _ranks, _units

    explorer = SimpleNamespace(sliders=list(range(30)))
    assert [unit for page in range(3) for unit in _units(explorer, page)] == explorer.sliders
    assert _ranks(explorer, 2) == "25 to 30 of 30"


def sources(page):
    """Of the images that are shown."""
    return page.evaluate(f"{SHOWN}.map(i => i.src)")


@pytest.mark.slow
def test_a_slider_moves_one_model_s_image_and_a_label_both(address):
    requests = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        page.wait_for_function("document.querySelectorAll('img').length >= 2")
        before = sources(page)
        slider = page.locator("input[type=range]").nth(1)
        slider.evaluate("e => { e.value = e.max; e.dispatchEvent(new Event('input', {bubbles: true})); }")
        page.wait_for_function("b => document.querySelectorAll('img')[0].src != b", arg=before[0])
        moved = sources(page)
        assert moved[1] == before[1]
        page.get_by_role("button", name="Back to the code of the input").first.click()
        page.wait_for_function("b => document.querySelectorAll('img')[0].src == b", arg=before[0])
        page.get_by_label("label that the model is told").first.click()
        page.get_by_role("option", name="3", exact=True).click()
        page.wait_for_function("b => document.querySelectorAll('img')[1].src != b", arg=moved[1])
        for tab in ("Interpolate", "Sample"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_function(f"{SHOWN}.length == 2")
        assert {url for url in requests if not url.startswith((address, "data:", "blob:"))} == set()
