"""What an evaluation found, as it is written into the run's folder."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from aelab.figures.chart import Chart
from aelab.figures.paper import Paper
from aelab.figures.wav import save
from aelab.metrics.estimate import Estimate

FILES, SUFFIXES = ("figures", "printed", "sounds", "tables"), (".png", ".pdf", ".svg", ".wav", ".csv")


@dataclass
class Findings:
    """Estimates by name, and all else that the parts of an evaluation leave behind.

    folder: of tables and figures. noun: what an observation is, as in "nats per image". undefined: name ->
    why the model has no such number. left_out: a part or number that the data could not serve -> why.
    alarms: what looks wrong with the model -> a sentence. printed, sounds: beside their pictures, charts in
    the formats of `paper`, and what is heard.
    """

    folder: Path
    noun: str = "image"
    estimates: dict[str, Estimate] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    alarms: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    figures: list[Path] = field(default_factory=list)
    printed: list[Path] = field(default_factory=list)
    sounds: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    paper: Paper = field(default_factory=lambda: Paper(None))

    def add(self, part: str, *estimates: Estimate) -> None:
        """Keep estimates as "part/name"."""
        for estimate in estimates:
            quantity = estimate.quantity.per(self.noun)
            self.estimates[f"{part}/{quantity.name}"] = replace(estimate, quantity=quantity)

    @property
    def files(self) -> dict[str, list[Path]]:
        """The files of each kind."""
        return {kind: getattr(self, kind) for kind in FILES}

    @property
    def spaces(self) -> frozenset[str]:
        """The names of the feature spaces that samples were compared in."""
        return frozenset(space["name"] for space in self.facts.get("feature_space", {}).values())

    def undefine(self, part: str, names: Iterable[str], why: str) -> None:
        """Say that the model has no such numbers."""
        self.undefined.update({f"{part}/{name}": why for name in names})

    def figure(self, name: str, drawn: Image.Image | Chart) -> None:
        """Keep a picture as `name`.png, its sound beside it, and a chart in the paper's formats too."""
        path = self._path(f"{name}.png")
        self.sounds += save(drawn if isinstance(drawn, Image.Image) else drawn.picture(), path)
        self.figures.append(path)
        if isinstance(drawn, Chart):
            for format in self.paper.formats:
                printed = self._path(f"{name}.{format}")
                printed.write_bytes(self.paper.saved(drawn, format))
                self.printed += [printed] if printed != path else []

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Keep a table as `name`.csv."""
        path = self._path(f"{name}.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        self.tables.append(path)

    def move(self, folder: Path) -> None:
        """Bring figures and tables into another folder, over those of the same names."""
        if self.figures or self.tables:
            folder.mkdir(parents=True, exist_ok=True)
        for paths in self.files.values():
            paths[:] = [path.replace(folder / path.name) for path in paths]
        self.folder = folder

    def clear(self, earlier: Mapping[str, Any]) -> None:
        """Remove the files that the record of an earlier evaluation lists and this one did not make again."""
        lists = [names for key in FILES if isinstance(names := earlier.get(key), list)]
        ours = {path.name for paths in self.files.values() for path in paths}
        for path in self.folder.glob("*"):
            listed = any(path.name in names for names in lists)
            if listed and path.suffix in SUFFIXES and path.name not in ours:
                path.unlink()

    def record(self) -> dict[str, Any]:
        """All of it as plain values; files by their names."""
        return {
            "estimates": {name: _plain(estimate) for name, estimate in self.estimates.items()},
            "undefined": self.undefined,
            "left_out": self.left_out,
            "alarms": self.alarms,
            **self.facts,
            **{kind: [path.name for path in paths] for kind, paths in self.files.items()},
        }

    def _path(self, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        path.unlink(missing_ok=True)  # a link would lead what is written elsewhere
        return path


def _plain(estimate: Estimate) -> dict[str, Any]:
    uncertainty = {"standard_error": estimate.error, "confidence_interval": estimate.interval}
    known = {name: value for name, value in uncertainty.items() if value is not None}
    note = {"note": estimate.note} if estimate.note else {}
    return {"value": estimate.value, **estimate.quantity.facts(), "count": estimate.count, **known, **note}
