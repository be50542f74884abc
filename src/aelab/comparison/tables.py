"""A comparison on a terminal: metrics, budgets and warnings."""

from collections.abc import Callable, Iterator, Sequence
from io import StringIO

from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from aelab.comparison.base import Budget, Comparison, Group
from aelab.comparison.number_format import mean_and_deviation, quantity
from aelab.core.quantity import ARROWS, Quantity, short
from aelab.core.terminal import console, table_of
from aelab.core.text import listed

WIDTH, FIGURES = 120, 24  # of a page that is no terminal; of a column
MOST_FAILURES = 20

FACTS: dict[str, Callable[[Budget], str]] = {
    "parameters": lambda budget: _span(budget.parameters),
    "steps": lambda budget: _span(budget.steps),
    "images seen": lambda budget: _span(budget.samples_seen),
    "FLOPs": lambda budget: _span(budget.flops),
    "seconds": lambda budget: _span(budget.seconds),
    "hardware": lambda budget: "; ".join(budget.hardware),
    "commit": lambda budget: "; ".join(budget.commit),
    "data": lambda budget: "; ".join(budget.data),
}


def show(comparison: Comparison, alpha: float, on: Console) -> None:
    """Print the comparison's tables and sentences."""
    for part in parts(comparison, alpha, on.width):
        on.print(part)


def page(comparison: Comparison, alpha: float) -> str:
    """The comparison as plain text, 120 columns wide."""
    text = StringIO()
    show(comparison, alpha, console(WIDTH, text))
    return text.getvalue()


def parts(comparison: Comparison, alpha: float, width: int = WIDTH) -> Iterator[RenderableType]:
    """The tables of metrics, as many side by side as fit, of budgets, and the sentences."""
    label = max(len(group.name) for group in comparison.groups)
    abreast = max(1, (width - min(label, 40) - 10) // FIGURES)
    for start in range(0, len(comparison.metrics), abreast):
        yield _findings(comparison, comparison.metrics[start : start + abreast], alpha)
    yield (
        "reading   mean ± standard deviation over seeds, #rank; best: better than every other group; * "
        f"differs from {comparison.baseline} (paired t-tests over seeds, corrected, at {alpha:g}); ↑ higher "
        "is better; lost N: N repetitions have no value, and the group is never best"
    )
    if untested := [m.name for m in comparison.metrics if not _tested(comparison, m.name)]:
        yield f"untested  {listed(untested, 6)}: no two groups share two seeds that differ in spread"
    yield from _budgets(comparison.groups)
    yield from sentences(comparison)


def _findings(comparison: Comparison, metrics: Sequence[Quantity], alpha: float) -> Table:
    table = table_of(Column("group", overflow="fold"), "seeds")
    for metric in metrics:
        where, slash, last = metric.name.rpartition("/")
        head = Text(f"{where}{slash}\n{last}{ARROWS[metric.higher_is_better]}\n{short(metric.unit)}")
        table.add_column(head, justify="right", min_width=FIGURES - 4)
    for group in comparison.groups:
        name = group.name + (" (baseline)" if group.name == comparison.baseline else "")
        table.add_row(Text(name), seeds(group), *(_cell(group, metric, alpha) for metric in metrics))
    return table


def seeds(group: Group) -> str:
    """The number of seeds that are finished, of how many where some failed."""
    finished = len({run.repeat for run in group.runs})
    every = len({run.repeat for run in (*group.runs, *group.failed)})
    return f"{finished}" if finished == every else f"{finished} of {every}"


def _cell(group: Group, metric: Quantity, alpha: float) -> Text:
    found = group.summaries.get(metric.name)
    if found is None:
        return Text("–")
    star = "*" if found.p is not None and found.p < alpha else " "
    rank = "" if found.rank is None else f" #{found.rank:g}"
    best = " best" if found.best else ""
    if found.lost:
        best += f" lost {found.lost}"
    return Text(f"{mean_and_deviation(found)}{star}{rank}{best}", style="bold" if found.best else "")


def _tested(comparison: Comparison, metric: str) -> bool:
    found = [group.summaries[metric] for group in comparison.groups if metric in group.summaries]
    return len(found) < 2 or any(summary.p is not None for summary in found)


def _budgets(groups: Sequence[Group]) -> Iterator[RenderableType]:
    """The table of the budgets that differ between groups; those that are alike stand once, below."""
    values_of = {fact: [words(group.budget) for group in groups] for fact, words in FACTS.items()}
    alike = {fact: values[0] for fact, values in values_of.items() if len(set(values)) == 1}
    various = [fact for fact in values_of if fact not in alike]
    lines = "; ".join(f"{fact} {value or 'not recorded'}" for fact, value in alike.items())
    of_words = ("hardware", "commit", "data")
    heads = [Column(fact, overflow="fold", no_wrap=fact not in of_words) for fact in various]
    table = table_of(Column("group", overflow="fold"), *heads)
    for index, group in enumerate(groups):
        table.add_row(Text(group.name), *(Text(values_of[fact][index] or "–") for fact in various))
    if various:
        yield table
    if alike:
        yield f"alike     {lines}"


def sentences(comparison: Comparison) -> Iterator[str]:
    """Flags, failures with their reasons, and folders that were skipped."""
    for flag in comparison.flags:
        yield f"beware    {flag}"
    failures = [(group, run) for group in comparison.groups for run in group.failed]
    for group, run in failures[:MOST_FAILURES]:
        yield f"{run.status:<9} {group.name}, seed {run.seed}, {run.path.name}: {run.error}"
    if len(failures) > MOST_FAILURES:
        yield f"failed    {len(failures) - MOST_FAILURES} more, which runs.csv lists"
    for path, reason in list(comparison.skipped.items())[:MOST_FAILURES]:
        yield f"skipped   {path}: {reason}"
    if len(comparison.skipped) > MOST_FAILURES:
        yield f"skipped   also {listed(list(comparison.skipped)[MOST_FAILURES:])}"


def _span(values: Sequence[float]) -> str:
    """One number, or from the least to the most."""
    ends = [quantity(value) for value in sorted({*values[:1], *values[-1:]})]
    return " to ".join(dict.fromkeys(ends))
