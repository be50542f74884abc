"""The page in a real browser: what a reader does with it, and that no name can do anything."""

import re
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from chromium import chromium
from comparison_examples import comparison, with_failure
from test_page import hostile

from aelab.comparison.page.render import render


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A plain and a hostile page as files."""
    folder = tmp_path_factory.mktemp("pages")
    plain = with_failure(comparison(folder / "plain", [f"group {i}" for i in range(9)]), "loss is NaN")
    for name, found in (("plain", plain), ("hostile", hostile(folder / "wild"))):
        (folder / f"{name}.html").write_text(render(found), encoding="utf-8")
    return folder


@contextmanager
def opened(browser, file: Path, width: int = 1440, scheme: str = "light"):
    """The page, which must neither ask for anything nor complain."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, trouble = context.new_page(), []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda r: trouble.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=10_000)
    yield page
    assert trouble == []
    context.close()


@pytest.fixture
def page(browser, pages):
    with opened(browser, pages / "plain.html") as found:
        yield found


def rows(page):
    """The groups in the first table, as they are seen."""
    return page.locator(".family:visible tbody tr:visible th bdi").all_inner_texts()


def test_hostile_names_do_nothing(browser, pages):
    with opened(browser, pages / "hostile.html") as page:
        for button in page.locator(".tabs button").all():
            button.click()
        page.locator("#legend button").nth(1).hover()
        page.locator("#forest g").first.hover()
        assert page.locator("#tip").is_visible()
        page.locator(".enlarge:visible").first.click()
        assert page.locator("#large").is_visible()
        assert page.locator("main img[onerror], aside img, #legend script").count() == 0


def test_a_script_that_got_in_would_not_run(browser, pages, tmp_path):
    text = (pages / "plain.html").read_text()
    (tmp_path / "bad.html").write_text(text.replace("<h1>", "<script>document.title = 'run'</script><h1>", 1))
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "bad.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.title() == "Comparison of 9 configurations"
    context.close()


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(page):
    names = [f"group {i}" for i in range(9)]
    head = page.locator(".family:visible th", has_text="elbo")
    head.get_by_role("button").click()
    assert rows(page) == names
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    assert rows(page) == names[::-1]
    assert head.get_attribute("aria-sort") == "descending"


def test_a_filter_narrows_tables_charts_pictures_and_legend(page):
    page.fill("#filter", "GROUP 3")
    assert rows(page) == ["group 3"]
    assert page.locator("#legend button:visible").count() == 1
    assert page.locator("#forest g[data-g]").count() == 1
    assert page.locator("figure:visible").count() == 1
    assert page.locator("#count").inner_text() == "1 of 9"


def test_a_click_in_the_legend_hides_a_group_and_another_shows_it(page):
    key = page.locator("#legend button").nth(4)
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert "group 4" not in rows(page)
    assert page.locator("#curve polyline").count() == 8
    key.click()
    assert len(rows(page)) == page.locator("#curve polyline").count() == 9
    page.click("#none")
    assert rows(page) == []
    assert "No shown group" in page.locator("#forest").inner_text()


def test_charts_follow_what_is_chosen(page):
    page.select_option("#cost-x", "parameters")
    assert "parameters" in page.locator("#cost-chart").inner_text()
    page.select_option("#cost-y", "test/distortion")
    assert "test/distortion" in page.locator("#cost-chart").inner_text()
    assert page.locator("#cost-chart polyline.front").count() == 0  # the cheapest is the best
    page.select_option("#cost-y", "test/elbo")
    assert len(page.locator("#cost-chart polyline.front").get_attribute("points").split()) == 9


def test_the_numbers_along_an_axis_have_equally_many_decimals(page):
    for chart in ("#curve", "#forest", "#plane-chart"):
        texts = page.locator(f"{chart} text").all_text_contents()
        numbers = [text for text in texts if re.fullmatch(r"−?[\d.]+", text)]
        along = {len(text.partition(".")[2]) for text in numbers}
        assert len(numbers) > 3
        assert len(along) <= 2, (chart, numbers)  # one for each axis


def test_curves_are_read_by_the_keyboard(page):
    page.locator("#curve svg").focus()
    page.keyboard.press("ArrowLeft")
    assert "step 48" in page.locator("#tip").inner_text()
    page.locator("#forest g[data-g]").first.focus()
    assert "group 8" in page.locator("#tip").inner_text()


def test_outliers_are_left_out_on_demand_and_named(browser, tmp_path):
    names = [f"group {i}" for i in range(6)]
    found = comparison(tmp_path / "runs", names)
    far = found.groups[-1].summaries["test/elbo"]
    found.groups[-1].summaries["test/elbo"] = type(far)((1e6,), 1e6)
    (tmp_path / "page.html").write_text(render(found))
    with opened(browser, tmp_path / "page.html") as page:
        page.check("#fences")
        assert page.locator("#forest g[data-g]").count() == 5
        assert "group 5" in page.locator("#forest .outside").inner_text()


def test_a_chart_is_saved_as_a_file_with_its_looks_in_it(page):
    with page.expect_download() as found:
        page.locator("#curve .save").click()
    assert found.value.suggested_filename == "curve.svg"
    lines = ElementTree.parse(found.value.path()).iter("{http://www.w3.org/2000/svg}polyline")
    strokes = [re.search(r"[; ]stroke: (rgb[^;]*)", line.get("style")).group(1) for line in lines]
    assert len(set(strokes)) == len(strokes) == 9


TEXTS = "texts => texts.map(t => [t.lastChild.textContent, t.getBoundingClientRect().toJSON()])"


@pytest.mark.parametrize("width", [1440, 390])
def test_the_words_of_a_sweep_stay_apart_and_within_the_chart(browser, tmp_path, width):
    found = comparison(tmp_path / "runs", [f"group {i}" for i in range(9)])
    kinds = (
        "aelab.models.posteriors.flows.InverseAutoregressive",
        "aelab.models.posteriors.gaussian.FullCovarianceGaussian",
    )
    for i, group in enumerate(found.groups):
        group.differing.update({f"model.long_part_{k}._target_": kinds[i // k % 2] for k in (2, 3, 4)})
        group.differing.update({"optimizer.betas": f"apart {i}", "data.augmentation": "crop, " * (8 + i % 3)})
        group.differing.update(
            {"optimizer.lr": 1.2345e-6 * (i % 7 + 1), "model.widths": [1024] * (2 + i % 4)}
        )
    (tmp_path / "page.html").write_text(render(found))
    with opened(browser, tmp_path / "page.html", width) as page:
        chart = page.locator("#parallel")
        assert "optimizer.betas" not in chart.inner_text()  # differs everywhere: a name, no setting
        texts = chart.locator("text").evaluate_all(TEXTS)
        inner = chart.locator("svg").bounding_box()
    words = [text for text, _ in texts]
    assert {"model.long_part_2", "InverseAutoregressive", "crop, crop, crop, crop,…", "[1024, 1024]"} <= set(
        words
    )
    for place, (text, box) in enumerate(texts):
        assert inner["x"] <= box["left"] <= box["right"] <= inner["x"] + inner["width"], text
        for other, beside in texts[place + 1 :]:
            across = box["left"] < beside["right"] and beside["left"] < box["right"]
            assert not across or abs(box["top"] - beside["top"]) > 9, (text, other)


def test_dark_is_dark_and_light_is_light(browser, pages):
    level = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    for scheme, dark in (("light", False), ("dark", True)):
        with opened(browser, pages / "plain.html", scheme=scheme) as page:
            assert (page.evaluate(level) < 128) is dark


@pytest.mark.parametrize("name", ["plain", "hostile"])
@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_scrolls_sideways(browser, pages, name, width):
    with opened(browser, pages / f"{name}.html", width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for button in page.locator(".tabs button").all():
            button.click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_group_s_colour_stands_beside_its_name_where_there_is_little_room(browser, tmp_path):
    found = comparison(tmp_path / "runs", ["vae_digits", "beta_vae_digits"])
    (tmp_path / "page.html").write_text(render(found))
    with opened(browser, tmp_path / "page.html", 420) as page:
        for head in page.locator(".family:visible tbody th").all():
            key, name = (head.locator(each).bounding_box() for each in (".key", "bdi"))
            assert key["y"] - name["y"] < name["height"] < 30


def test_without_scripts_every_number_is_there(browser, pages):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((pages / "plain.html").as_uri())
    assert page.locator(".family:visible").count() == 2
    assert page.locator("noscript").is_visible()
    assert not page.locator("#curves").is_visible()
    assert not page.locator("#forest svg").count()
    context.close()
