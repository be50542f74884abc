"""Where configurations are looked for, the user's own folders first; and the parts that the user trusts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aelab.core.errors import ConfigurationError
from aelab.core.paths import conf_dir, from_user

_own: tuple[Path, ...] = ()  # of the whole process, as Hydra's state is
_trusted: frozenset[str] = frozenset()


@contextmanager
def searched_first(given: Iterable[str | Path], trust: Iterable[str] = ()) -> Iterator[None]:
    """A context in which configurations are looked for in the given folders before all others.

    trust: parts by their dotted names, which a run's folder may name though no configuration lists them.
    Raises ConfigurationError for what is no folder or no such name.
    """
    global _own, _trusted
    before, names, found = (
        (_own, _trusted),
        frozenset(trust),
        tuple(from_user(path).resolve() for path in given),
    )
    for path in found:
        if not path.is_dir():
            raise ConfigurationError(
                f"--config-dir={path} is no folder: give one that holds configurations, as network/mine.yaml"
            )
    for name in names:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name):
            raise ConfigurationError(
                f"trust={name!r} names no part: give classes or functions in full, as trust=[mylib.Encoder]"
            )
    _own, _trusted = (*found, *_own), _trusted | names
    try:
        yield
    finally:
        _own, _trusted = before


def own() -> tuple[Path, ...]:
    """The user's folders, the first to be searched first."""
    return _own


def trusted_parts() -> frozenset[str]:
    """The parts that the user trusts by name."""
    return _trusted


def folders(conf: Path | None = None) -> tuple[Path, ...]:
    """All folders in the order in which they are searched; conf: in the place of the running code's conf/."""
    return (*_own, conf or conf_dir())


def groups() -> frozenset[str]:
    """All that can be chosen on the command line; a folder `base` holds what choices share."""
    return _groups(folders())


@cache
def _groups(searched: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(
        str(path.relative_to(folder))
        for folder, top in _tops(searched)
        for path in (top, *top.rglob("*"))
        if path.is_dir() and path.name != "base"
    )


def choices(group: str) -> list[str]:
    """The options of a configuration group."""
    return sorted({path.stem for folder in folders() for path in (folder / group).glob("*.yaml")})


def file_of(name: str, conf: Path | None = None) -> Path:
    """The file of a choice, as `data/mnist`, or of a command, where it is found first."""
    paths = [folder / f"{name}.yaml" for folder in folders(conf)]
    return next((path for path in paths if path.is_file()), paths[-1])


def chosen_groups(name: str) -> list[str]:
    """The groups that a command composes, in order."""
    from omegaconf import OmegaConf

    defaults: Any = OmegaConf.load(file_of(name)).defaults
    keys = [str(key).split()[-1] for entry in defaults if isinstance(entry, Mapping) for key in entry]
    return [key for key in keys if key in groups()]


def files(conf: Path | None = None) -> Iterator[Path]:
    """All files of all folders; of a user's those of the groups that conf/ has: runs may lie there, too."""
    yield from (conf or conf_dir()).rglob("*.yaml")
    for _, top in _tops(_own):
        yield from top.rglob("*.yaml")


def _tops(among: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """The folders of the outermost groups, each with the folder that it lies in."""
    names = [path.name for path in conf_dir().iterdir() if path.is_dir()]
    yield from ((folder, folder / name) for folder in among for name in names if (folder / name).is_dir())
