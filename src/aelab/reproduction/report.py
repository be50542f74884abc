"""The report on reproduced runs, as a record and as printed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aelab.core.environment import NONE, Difference
from aelab.core.terminal import console, table_of
from aelab.core.text import printable
from aelab.reproduction.verdict import Agreement, Verdict


@dataclass(frozen=True)
class Reproduction:
    """A run that was trained again; again: the new run's folder, None where there is none."""

    run: Path
    agreement: Agreement
    environment: list[Difference] = field(default_factory=list)
    commit: str | None = None
    again: Path | None = None

    def record(self) -> dict[str, Any]:
        """The reproduction as plain values for JSON, without command line or environment variables."""
        return {
            "run": self.run,
            "again": self.again,
            "verdict": self.agreement.verdict.words,
            "exit_code": self.agreement.verdict.code,
            "why": self.agreement.why,
            "notes": self.agreement.notes,
            "largest_relative_differences": self.agreement.largest,
            "commit": self.commit,
            "environment": [asdict(difference) for difference in self.environment],
        }


def show_environment(differing: Sequence[Difference]) -> None:
    """Print a table of the differences that can change the bits, and a line on the others."""
    mattering = [item for item in differing if item.matters]
    if mattering:
        table = table_of("can change the bits", "recorded", "here")
        for column in table.columns:
            column.overflow = "fold"
        for item in mattering:
            table.add_row(item.what, item.recorded, item.here)
        console().print(table)
    others = [item for item in differing if not item.matters]
    changed = [item for item in others if NONE not in (item.recorded, item.here)]
    named = [f"{item.what} ({item.recorded}, here {item.here})" for item in changed]
    if len(changed) < len(others):
        named.append(f"{len(others) - len(changed)} packages that one side lacks")
    if named:
        print_line("other", f"{', '.join(named)}: cannot change the bits")


def show_verdict(found: Reproduction) -> None:
    """Print the reasons of a verdict, then the verdict, one line each."""
    agreement = found.agreement
    for sentence in agreement.why if agreement.verdict is not Verdict.IMPOSSIBLE else []:
        print_line("differs", sentence)
    for sentence in agreement.notes:
        print_line("note", sentence)
    if found.again is not None:
        print_line("again", str(found.again))
    print_line("verdict", verdict_line(agreement))


def verdict_line(agreement: Agreement) -> str:
    """The verdict in words, with what differs or why there is none."""
    match agreement.verdict:
        case Verdict.IMPOSSIBLE:
            return f"{agreement.verdict.words}: {agreement.why[0]}"
        case Verdict.WITHIN | Verdict.DIFFERENT:
            largest = max(agreement.largest.items(), key=lambda item: item[1], default=None)
            most = f"; largest: {largest[0]} by {largest[1]:.2g} relative" if largest else ""
            names = ", ".join(sentence.partition(":")[0] for sentence in agreement.why)
            return f"{agreement.verdict.words} in {names}{most}"
        case _:
            return agreement.verdict.words


def show_study(found: Sequence[Reproduction]) -> None:
    """Print a table of all verdicts."""
    table = table_of("run", "verdict", title=f"{len(found)} runs")
    table.columns[0].overflow = "fold"
    for item in found:
        table.add_row(printable(item.run), printable(verdict_line(item.agreement)))
    console().print(table)


def print_line(what: str, sentence: str) -> None:
    """Print one labelled line, whatever the sentence quotes."""
    console().print(f"{what:<12}{printable(sentence)}")
