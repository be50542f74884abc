"""A comparison as a LaTeX table, for the package booktabs."""

import re
from collections.abc import Iterator

from aelab.comparison.base import Comparison, Group
from aelab.comparison.number_format import mean_and_deviation
from aelab.core.quantity import Quantity, short
from aelab.core.text import printable

POWER = re.compile(r"e(-?)\+?0*(\d+)")
ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
# Brackets and stars at the head of a row would be options of the \\ before it.
SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}", "`": r"\char96{}",
    "\N{REPLACEMENT CHARACTER}": "?",
    "[": "{[}", "]": "{]}", "*": "{*}", "±": r"$\pm$", "–": "--", "…": r"\dots{}",
    **{letter: f"\\{letter}" for letter in "{}$&#_%"},
}  # fmt: skip


def escaped(text: object) -> str:
    """Text with all that LaTeX would interpret escaped."""
    return "".join(SPECIAL.get(letter, letter) for letter in printable(text))


def latex(comparison: Comparison, alpha: float) -> str:
    """The table with a row for each group; bold: better than every other group, significantly."""
    return "\n".join(_lines(comparison, alpha)) + "\n"


def _lines(comparison: Comparison, alpha: float) -> Iterator[str]:
    yield r"% \usepackage{booktabs}"
    yield r"\begin{table}"
    yield r"\centering"
    yield (
        rf"\caption{{Mean and standard deviation over seeds. Bold: better than every other group; star: "
        rf"differs from {escaped(comparison.baseline)} (paired t-tests over seeds, corrected, at {alpha:g})"
        ".}"
    )
    yield r"\label{tab:comparison}"
    yield rf"\begin{{tabular}}{{l{'r' * (1 + len(comparison.metrics))}}}"
    yield r"\toprule"
    names = [m.name.rpartition("/")[2].replace("_", " ") for m in comparison.metrics]
    ambiguous = len(set(names)) < len(names)
    heads = [
        f"{escaped(m.name if ambiguous else name)}{ARROWS[m.higher_is_better]}"
        for m, name in zip(comparison.metrics, names, strict=True)
    ]
    yield rf"group & seeds & {' & '.join(heads)} \\"
    yield rf" & & {' & '.join(escaped(short(m.unit)) for m in comparison.metrics)} \\"
    yield r"\midrule"
    for group in comparison.groups:
        cells = [_cell(group, metric, alpha) for metric in comparison.metrics]
        yield rf"{escaped(group.name)} & {len({run.repeat for run in group.runs})} & {' & '.join(cells)} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _cell(group: Group, metric: Quantity, alpha: float) -> str:
    found = group.summaries.get(metric.name)
    if found is None:
        return "--"
    numbers = POWER.sub(r" \\cdot 10^{\1\2}", mean_and_deviation(found, r" \pm "))
    star = "^{*}" if found.p is not None and found.p < alpha else ""
    lost = f" (lost {found.lost})" if found.lost else ""
    return rf"$\mathbf{{{numbers}}}{star}$" if found.best else f"${numbers}{star}${lost}"
