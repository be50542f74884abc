"""A user's own recordings."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.text import printable
from aelab.data.kinds.waves import too_long
from aelab.data.recordings import Noted, classes_of, decoded, filled, label_of, recordings, said, split_of
from aelab.data.splits import Observations, Splits, checksum, cut
from aelab.data.views import View

UNITS, LONGER = ("recordings", "windows"), ("refuse", "cut")


@dataclass(frozen=True)
class Recording:
    """A sound (T,) of a file. split: that its folder is called by, or None."""

    name: str
    sound: np.ndarray
    split: str | None
    label: str | None


class Recordings:
    """Sounds from the recordings in a folder or an archive; of folders that are called train, val and test
    those are the splits.

    view: what of them is kept.
    label: a regular expression with one group, which a file's name has for a label; None: its folder, where
        there are several.
    test: how many recordings, or which share in (0., 1.), are the test split where no folder is, the same in
        all runs. test_files: a regular expression that finds those instead.
    unit: "recordings", filled with silence at the end; or "windows" of theirs one after the other, the last
        of which is left aside where less than half of it would be sound.
    longer: "refuse" recordings that are longer than sounds may be, or "cut" them.
    """

    def __init__(
        self,
        root: str | Path,
        view: View,
        label: str | None = None,
        test: int | float | None = 0.1,
        test_files: str | None = None,
        unit: str = "recordings",
        longer: str = "refuse",
    ) -> None:
        for name, value, choices in (("unit", unit, UNITS), ("longer", longer, LONGER)):
            if value not in choices:
                raise ConfigurationError(f"data.source.{name}={value}: choose {' or '.join(choices)}")
        self.root, self.view, self.label, self.test = root, view, label, test
        self.test_files, self.unit, self.longer = test_files, unit, longer

    def prepare(self) -> None:
        """DataError where there are no recordings."""
        next(recordings(self.root))

    def load(self) -> Splits:
        """Read all recordings, and cut them."""
        notes: Noted = defaultdict(list)
        read = [
            (Recording(n, decoded(n, content, self.view.rate, notes), *self._told(n)), checksum(content))
            for n, content in recordings(self.root)
        ]
        found = [one for one, _ in read]
        names = classes_of(one.label for one in found if one.label is not None)
        made = {split: self._made(part, names, notes) for split, part in self._splits(found).items()}
        sums = {"recordings": checksum("".join(sum for _, sum in read).encode())}
        return Splits(made["train"], made["test"], sums, made.get("val"), said(notes))

    def _told(self, name: str) -> tuple[str | None, str | None]:
        return split_of(name)[0], label_of(name, self.label)

    def _splits(self, found: Sequence[Recording]) -> dict[str, list[Recording]]:
        parts = {
            split: [one for one in found if (one.split or "train") == split]
            for split in ("train", "val", "test")
        }
        parts = {split: part for split, part in parts.items() if part or split == "train"}
        train = parts["train"]
        if "test" not in parts:
            held = self._held_out(train)
            parts |= {
                "train": [o for o in train if o.name not in held],
                "test": [o for o in train if o.name in held],
            }
        if not parts["train"] or not parts["test"]:
            raise DataError(
                f"{printable(self.root)}: {len(parts['train']):,} recordings are for training and "
                f"{len(parts['test']):,} for the test: data.source.test_files=null would leave some for both"
            )
        return parts

    def _held_out(self, found: Sequence[Recording]) -> set[str]:
        """The names of those that are the test split."""
        if self.test_files is not None:
            return {one.name for one in found if re.search(self.test_files, one.name)}
        if self.test is None:
            raise ConfigurationError("data.source.test=null, and no folder is called test: 0.1 would work")
        size = cut(self.test, len(found), "data.source.test", f"{len(found):,} recordings")
        return {found[place].name for place in np.random.RandomState(0).permutation(len(found))[:size]}

    def _made(self, found: Sequence[Recording], names: Sequence[str], notes: Noted) -> Observations:
        pieces = [(piece, one.label) for one in found for piece in self._pieces(one, notes)]
        sounds = torch.from_numpy(np.stack([piece for piece, _ in pieces]))
        x = torch.cat([self.view.of(part) for part in sounds.split(1000)])
        known = {name: place for place, name in enumerate(names)}
        labels = torch.tensor([-1 if label is None else known[label] for _, label in pieces])
        return Observations(x, labels if names else None)

    def _pieces(self, one: Recording, notes: Noted) -> list[np.ndarray]:
        length, size = self.view.length, len(one.sound)
        if self.unit == "windows":
            starts = range(0, max(1, size - length // 2), length)
            return [filled(one.sound[start : start + length], length) for start in starts]
        if size > length:
            if self.longer == "refuse":
                raise too_long(one.name, size, self.view, "data.source.longer=cut")
            notes[f"cut to {length / self.view.rate:g} s"].append(one.name)
        return [filled(one.sound, length)]
