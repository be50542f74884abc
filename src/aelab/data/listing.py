"""What lies in a user's folder: pictures, in splits and classes, and what is left aside, with the reasons."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aelab.core.errors import DataError
from aelab.core.text import listed, printable

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".npy"}
)
SPELLINGS = {  # how the folders of a split, in any case, may be called
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
LAYOUTS = (
    "train/ and test/ with pictures or with a folder for each class, or pictures without them, are needed"
)
Pictures = list[tuple[Path, str | None]]  # each with its class, if there are classes


@dataclass
class Aside:
    """What was left aside, by the reason."""

    root: Path
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, path: Path | str) -> None:
        """Note a path below the root, or a name."""
        name = str(path.relative_to(self.root)) if isinstance(path, Path) else path
        self.found.setdefault(reason, []).append(name)

    def notes(self) -> list[str]:
        """In words, as one sentence; nothing where nothing was left aside."""
        said = (f"{reason} {len(names):,} ({listed(names)})" for reason, names in self.found.items())
        return [f"left aside: {'; '.join(said)}"] if self.found else []


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder.

    splits: by their names, "train" and, where they are there, "val" and "test". classes: their names in
    natural order, whether or not a split has pictures of each; empty where there are none.
    """

    splits: dict[str, Pictures]
    classes: tuple[str, ...]
    aside: Aside

    @property
    def files(self) -> list[Path]:
        """All pictures, split by split."""
        return [path for pictures in self.splits.values() for path, _ in pictures]


def listing(root: Path) -> Listing:
    """The pictures of a user's data; DataError where they lie in no order that says what they are."""
    aside = Aside(root)
    folders = _folders_of_splits(root, aside)
    found = {split: _sorted_in(folder, aside) for split, folder in folders.items()}
    classes = sorted(found["train"][1], key=natural)
    splits = {split: pictures for split, (pictures, _) in found.items()}
    for split, pictures in splits.items():
        unknown = next((path for path, name in pictures if (name not in classes if classes else name)), None)
        if unknown is not None:
            raise DataError(
                f"{printable(unknown)}: its class is not one of {folders['train'].name}/ "
                f"({', '.join(classes) or 'none'}); the same classes are needed in {folders['train'].name}/ "
                f"and {folders[split].name}/"
            )
    for name in classes:
        if not any(name == of for _, of in splits["train"]):
            aside.add("classes without training pictures, which keep their labels", name)
    return Listing(splits, tuple(classes), aside)


def pictures_below(folder: Path, aside: Aside, within: tuple[str, ...] = ()) -> Iterator[Path]:
    """All pictures in a folder and below it, in the order of their names; what is none goes to `aside`.

    Links are followed, but for those that lead to a folder that they lie in.
    """
    for entry in _usable(folder, aside, within):
        if entry.is_dir():
            yield from pictures_below(Path(entry.path), aside, (*within, os.path.realpath(folder)))
        else:
            yield Path(entry.path)


def natural(name: str) -> tuple[list[str | int], str]:
    """A key by which "2" comes before "10", and case decides last.

    >>> sorted(["10", "b2", "2", "b10", "A"], key=natural)
    ['2', '10', 'A', 'b2', 'b10']
    """
    parts = re.split("([0-9]+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _usable(folder: Path, aside: Aside, within: Sequence[str] = ()) -> Iterator[os.DirEntry[str]]:
    """The folders and the pictures in a folder, in the order of their names."""
    for entry in _entries(folder):
        if why := _refused(entry, (*within, os.path.realpath(folder))):
            aside.add(why, Path(entry.path))
        else:
            yield entry


def _refused(entry: os.DirEntry[str], within: Sequence[str]) -> str | None:
    """Why an entry is left aside; None for a folder and for a picture."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir():
        loops = entry.is_symlink() and os.path.realpath(entry.path) in within
        return "links in a circle" if loops else None
    if not entry.is_file():
        return "broken links" if entry.is_symlink() else "no regular files"
    return None if Path(entry.name).suffix.lower() in SUFFIXES else "of other kinds"


def _entries(folder: Path) -> Sequence[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{printable(folder)}: cannot be read ({error.strerror}); make it readable, or hide it as .NAME"
        ) from error


def _folders_of_splits(root: Path, aside: Aside) -> dict[str, Path]:
    """The folder of each split that has one; where none has, the root is that of training."""
    entries = [entry for entry in _entries(root) if entry.is_dir()]
    found = {
        split: [entry for entry in entries if entry.name.casefold() in names]
        for split, names in SPELLINGS.items()
    }
    if not found["train"] and not found["test"]:
        return {"train": root}
    for same in found.values():
        if len(same) > 1:
            raise DataError(
                f"{printable(root)}: holds {same[0].name}/ and {same[1].name}/, which mean the same "
                "split: join them"
            )
    if not found["train"]:
        raise DataError(f"{printable(root)}: holds {found['test'][0].name}/ without train/; {LAYOUTS}")
    taken = {split: Path(same[0].path) for split, same in found.items() if same}
    for entry in _entries(root):
        if Path(entry.path) not in taken.values():
            aside.add("hidden" if entry.name.startswith(".") else "beside the splits", Path(entry.path))
    return taken


def _sorted_in(folder: Path, aside: Aside) -> tuple[Pictures, set[str]]:
    """The pictures of a split's folder, side by side or in one for each class, and the classes' names."""
    bare: Pictures = []
    classes: dict[str, Pictures] = {}
    for entry in _usable(folder, aside):
        path = Path(entry.path)
        if entry.is_dir():
            below = pictures_below(path, aside, (os.path.realpath(folder),))
            classes[entry.name] = [(picture, entry.name) for picture in below]
        else:
            bare.append((path, None))
    inside = [picture for pictures in classes.values() for picture in pictures]
    if bool(bare) == bool(inside):
        found = "pictures both beside and in folders" if bare else "no pictures"
        raise DataError(f"{printable(folder)}: holds {found}; {LAYOUTS}")
    if inside:
        return inside, set(classes)
    for name in classes:
        aside.add("folders without pictures", folder / name)
    return bare, set()
