"""What classifiers read from a trained model's codes, as a table and a picture of neighbours."""

import csv

from omegaconf import DictConfig

from aelab.config.construct import construct
from aelab.core.files import draft
from aelab.core.terminal import console
from aelab.evaluation.findings import Findings
from aelab.evaluation.probing import Probing
from aelab.evaluation.report import missing
from aelab.evaluation.subject import subject_of
from aelab.runs.find import run_of
from aelab.runs.folder import Run

SPACES = ("codes", "values", "pca", "untrained")


def main(config: DictConfig) -> None:
    """Write and print the accuracies that a composed configuration asks for."""
    probing: Probing = construct(config.probing, "probing")
    subject = subject_of(Run.open(run_of(config.run)), config)
    with draft(config.to, config.overwrite) as folder:
        folder.mkdir()
        findings = Findings(folder, subject.data.kind.noun)
        probing(subject, findings)
        rows = _rows(findings)
        with (folder / "probes.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["probe", *SPACES], *rows])
    for name, *values in [["probe", *SPACES], *rows]:
        print(f"{name:<22}" + "".join(f"{value:>12}" for value in values))
    for line in missing(findings):
        console().print(line)
    print(f"probes    {config.to}")


def _rows(findings: Findings) -> list[list[str]]:
    """A row for each probe, with the accuracy in each space."""
    found = {name.removeprefix("probing/"): each.value for name, each in findings.estimates.items()}
    probes = dict.fromkeys(name.rpartition("_")[0] for name in found)
    cells = {probe: [found.get(f"{probe}_{space}") for space in SPACES] for probe in probes}
    return [[probe, *("" if v is None else f"{v:.4f}" for v in values)] for probe, values in cells.items()]
