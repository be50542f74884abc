"""Text as a picture: sequences beside what comes back of them."""

from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from aelab.figures.grids import GAP, INK, PAPER

SIZE, LINE, MOST, WIDEST = 13, 18, 64, 150  # pixels of a letter and a line; lines, and letters of a line
OTHER = "#b4412f"  # where a line differs from the first of its group


def lines_of_text(rows: Sequence[Sequence[str]], captions: Sequence[str]) -> Image.Image:
    """Texts, one a line, at most 64: of each place in the rows one after the other, with their captions.

    Where all rows are captioned, letters that differ from those of the first row are marked.
    """
    compared = len(rows) > 1 and all(captions)
    groups = zip(*rows, strict=False) if compared else ([text] for row in rows for text in row)
    said = captions if compared else [captions[0]]
    if not compared and any(captions):
        said = [""]
        groups = ([f"{name}: {text}"] for name, row in zip(captions, rows, strict=True) for text in row)
    lines = [
        (name, shown(text), shown(group[0]))
        for group in groups
        for name, text in zip(said, group, strict=True)
    ]
    return _drawn(lines[:MOST])


def shown(text: str) -> str:
    """A text on one line, cut where it is too long for that."""
    line = "".join(c if c.isprintable() else "⏎" if c == "\n" else "·" for c in text)
    return line if len(line) <= WIDEST else f"{line[: WIDEST - 1]}…"


def _drawn(lines: Sequence[tuple[str, str, str]]) -> Image.Image:
    font = _font()
    step = font.getlength("m")
    margin = round(max(len(name) for name, _, _ in lines) * step) + 3 * GAP
    width = margin + round(max(len(text) for _, text, _ in lines) * step) + 3 * GAP
    canvas = Image.new("RGB", (max(width, LINE), len(lines) * LINE + 2 * GAP), PAPER)
    pen = ImageDraw.Draw(canvas)
    for place, (name, text, first) in enumerate(lines):
        top = GAP + place * LINE
        pen.text((margin - 2 * GAP - len(name) * step, top), name, "#888888", font)
        for column, letter in enumerate(text):
            same = column < len(first) and first[column] == letter
            pen.text((margin + column * step, top), letter, INK if same else OTHER, font)
    return canvas


@cache
def _font() -> ImageFont.FreeTypeFont:
    """A font whose letters are all as wide, which comes with matplotlib."""
    from matplotlib import get_data_path

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSansMono.ttf", SIZE)
