"""Formulas as pictures in the text, drawn when the site is built: they need neither a script nor a network.

A formula is TeX between $` and `$, as GitHub knows it too.
"""

import html
import io
import re
from functools import cache
from typing import Any

FORMULA = re.compile(r"\$`([^`\n]+)`\$")
SIZE = 12  # points, of one em


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its formulas drawn."""
    return FORMULA.sub(lambda found: drawn(found[1]), markdown)


@cache
def drawn(tex: str) -> str:
    """A formula as SVG in the colour of the text around it; ValueError for what matplotlib cannot set."""
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "aelab", "mathtext.fontset": "cm"}):
        depth = math_to_image(f"${tex}$", file, FontProperties(size=SIZE), dpi=72, format="svg")
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].strip().replace("\n", " ").replace("#000000", "currentColor")
    svg = svg.replace("<svg ", '<svg fill="currentColor" ', 1).replace("fill: #ffffff", "fill: none")
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg)
    svg = re.sub(
        r'(width|height)="([\d.]+)pt"', lambda m: f'{m[1]}="{float(m[2]) / SIZE:.3f}em"', svg, count=2
    )
    style = f"vertical-align: {-depth / SIZE:.3f}em"
    return f'<span class="formula" role="img" aria-label="{html.escape(tex)}" style="{style}">{svg}</span>'
