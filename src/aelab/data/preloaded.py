"""Data that are read once for many runs: the processes that are forked afterwards share their memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from aelab.data.module import DataModule
from aelab.data.splits import Source, Splits

_preloaded: dict[str, Source] = {}


@dataclass(frozen=True)
class Preloaded:
    """A source whose images are in memory."""

    splits: Splits

    def prepare(self) -> None:
        """Nothing to do: they are in memory."""

    def load(self) -> Splits:
        """The images in memory."""
        return self.splits


def preload(settings: Mapping[str, Any], data: DataModule) -> None:
    """Read the data of a data module made of `settings` (plain) into memory; DataError as `setup`."""
    key = _key(settings)
    if key in _preloaded:
        return
    # Threads of OpenMP would be lost in the processes forked later, which would wait for them for ever.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data.source.prepare()
        _preloaded[key] = Preloaded(data.source.load())
    finally:
        torch.set_num_threads(threads)


def with_preloaded(settings: Mapping[str, Any], data: DataModule) -> DataModule:
    """The data module, over the data in memory if they were preloaded."""
    data.source = _preloaded.get(_key(settings), data.source)
    return data


def _key(settings: Mapping[str, Any]) -> str:
    """The settings that decide which data are read, but not how they are split or valued."""
    return json.dumps([settings.get("root"), settings["source"]], sort_keys=True)
