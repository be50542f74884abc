"""What came of reproducing a run: as a record, and as a user sees it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from aelab.core.terminal import console
from aelab.core.text import printable
from aelab.reproduction.agreement import Agreement, Verdict
from aelab.reproduction.environment import NONE, Difference


@dataclass(frozen=True)
class Reproduction:
    """One run trained again. again: the new run's folder, None where there is none."""

    run: Path
    agreement: Agreement
    environment: list[Difference] = field(default_factory=list)
    commit: str | None = None
    again: Path | None = None

    def record(self) -> dict[str, Any]:
        """Plain values for JSON; neither the command line nor anything of this process's environment."""
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
    """A table of what differs and can change the bits, and in one line what cannot."""
    mattering = [item for item in differing if item.matters]
    if mattering:
        table = Table("can change the bits", "recorded", "here")
        for item in mattering:
            table.add_row(item.what, item.recorded, item.here)
        console().print(table)
    others = [item for item in differing if not item.matters]
    changed = [item for item in others if NONE not in (item.recorded, item.here)]
    named = [f"{item.what} ({item.recorded}, here {item.here})" for item in changed]
    if len(changed) < len(others):
        named.append(f"{len(others) - len(changed)} packages that one side lacks")
    if named:
        say("other", f"{', '.join(named)}: cannot change the bits")


def show_verdict(found: Reproduction) -> None:
    """What the verdict rests on, then the verdict, one line each."""
    agreement = found.agreement
    for sentence in agreement.why if agreement.verdict is not Verdict.IMPOSSIBLE else []:
        say("differs", sentence)
    for sentence in agreement.notes:
        say("note", sentence)
    if found.again is not None:
        say("again", str(found.again))
    say("verdict", verdict_line(agreement))


def verdict_line(agreement: Agreement) -> str:
    """The verdict, and in what or why."""
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
    """One row for each run."""
    table = Table("run", "verdict", title=f"{len(found)} runs")
    table.columns[0].overflow = "fold"
    for item in found:
        table.add_row(printable(str(item.run)), printable(verdict_line(item.agreement)))
    console().print(table)


def say(what: str, sentence: str) -> None:
    """One line, whatever the sentence quotes."""
    console().print(f"{what:<12}{printable(sentence)}")
