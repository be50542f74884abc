"""A comparison as a LaTeX table, for the packages booktabs and siunitx."""

import re
from collections.abc import Iterator, Sequence

from aelab.comparison.base import Comparison, MetricSummary
from aelab.comparison.group_names import data_of, for_people
from aelab.comparison.number_format import mean_and_deviation
from aelab.core.quantity import Quantity, short, title
from aelab.core.text import printable

POWER = re.compile(r"e(-?)\+?0*(\d+)")
NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?: \\pm (\d+)(?:\.(\d+))?)?")
ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
STAR = r" {$^{*}$}"
# Brackets and stars at the head of a row would be options of the \\ before it.
SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}", "`": r"\char96{}",
    "\N{REPLACEMENT CHARACTER}": "?", "β": r"$\beta$",
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
    data, names = data_of(comparison.groups), for_people(comparison.groups)
    metrics = comparison.metrics
    cells = {
        m.name: [_cell(group.summaries.get(m.name), alpha) for group in comparison.groups] for m in metrics
    }
    yield r"% \usepackage{booktabs, siunitx}"
    yield r"\begin{table}"
    yield r"\centering"
    yield r"\sisetup{separate-uncertainty, table-align-uncertainty=false, table-space-text-post={$^{*}$},"
    yield r"  detect-weight, group-digits=integer}"
    of = f" on {', '.join(map(escaped, data))}" if all(data) else ""
    yield (
        rf"\caption{{Mean and standard deviation over seeds{of}. Bold: better than every other model; star: "
        rf"differs from {escaped(names[comparison.baseline])} (paired t-tests over seeds, corrected, at "
        rf"{alpha:g}).}}"
    )
    label = "-".join(re.sub(r"[^a-z0-9]", "", name.lower()) for name in data) or "comparison"
    yield rf"\label{{tab:{label}}}"
    columns = " ".join(_column(cells[m.name]) for m in metrics)
    yield rf"\begin{{tabular}}{{l S[table-format=2.0] {columns}}}"
    yield r"\toprule"
    yield rf"Model & {{Seeds}} & {' & '.join(f'{{{head}}}' for head in _heads(metrics))} \\"
    yield rf" & & {' & '.join(f'{{{escaped(short(m.unit))}}}' for m in metrics)} \\"
    yield r"\midrule"
    for place, group in enumerate(comparison.groups):
        seeds = len({run.repeat for run in group.runs})
        values = " & ".join(cells[m.name][place] for m in metrics)
        yield rf"{escaped(names[group.name])} & {seeds} & {values} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _heads(metrics: Sequence[Quantity]) -> list[str]:
    names = [title(m.name.rpartition("/")[2]) for m in metrics]
    whole = len(set(names)) == len(names)
    return [
        escaped(name if whole else m.name) + ARROWS[m.higher_is_better]
        for name, m in zip(names, metrics, strict=True)
    ]


def _column(cells: Sequence[str]) -> str:
    """The column of a metric, with room for its longest numbers on either side of the point."""
    numbers = (NUMBER.search(cell) for cell in cells if not cell.startswith("{"))
    found = [match.groups("") for match in numbers if match]
    if not found:
        return "c"
    sign = "-" if any(minus for minus, *_ in found) else ""
    whole, decimals = (max(len(parts[place]) for parts in found) for place in (1, 2))
    uncertain = max(len(a + b) for *_, a, b in found)
    return f"S[table-format={sign}{whole}.{decimals}{f'({uncertain})' if uncertain else ''}]"


def _cell(found: MetricSummary | None, alpha: float) -> str:
    if found is None:
        return "{--}"
    numbers = mean_and_deviation(found, r" \pm ")
    star = STAR if found.p is not None and found.p < alpha else ""
    lost = f" (lost {found.lost})" if found.lost else ""
    if "e" in numbers or lost:  # words, which no column of numbers takes
        numbers = POWER.sub(r" \\cdot 10^{\1\2}", numbers)
        bold = rf"\mathbf{{{numbers}}}" if found.best else numbers
        return f"{{${bold}$" + (r"$^{*}$" if star else "") + f"{lost}}}"
    return (r"\bfseries " if found.best else "") + numbers + star
