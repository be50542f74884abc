"""The runs that the page can show, each loaded when it is first chosen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aelab.cli.explorer.explorer import Explorer


@dataclass
class Shelf:
    """The folders of runs of the same data, by their names, and how one is opened."""

    paths: Mapping[str, Path]
    open: Callable[[Path], Explorer]
    opened: dict[str, Explorer] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return list(self.paths)

    @property
    def first(self) -> Explorer:
        """The first run."""
        return self[self.names[0]]

    def __getitem__(self, name: str) -> Explorer:
        if name not in self.opened:
            self.opened[name] = self.open(self.paths[name])
        return self.opened[name]
