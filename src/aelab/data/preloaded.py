"""Data that are read once for many runs: the processes that are forked afterwards share their memory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from aelab.data.module import DataModule
from aelab.data.splits import Source, Splits

_read: dict[str, Source] = {}


@dataclass(frozen=True)
class Ahead:
    """A source that has been read."""

    splits: Splits

    def prepare(self) -> None:
        """Nothing to do: they are in memory."""

    def load(self) -> Splits:
        """What was read."""
        return self.splits


def read_ahead(settings: Mapping[str, Any], data: DataModule) -> None:
    """Read the data of a data module, made of `settings` (plain), for `shared`; DataError as `setup`."""
    key = _key(settings)
    if key in _read:
        return
    # Threads of OpenMP would be lost in the processes forked later, which would wait for them for ever.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data.source.prepare()
        _read[key] = Ahead(data.source.load())
    finally:
        torch.set_num_threads(threads)


def shared(settings: Mapping[str, Any], data: DataModule) -> DataModule:
    """The data module, over the data that were read ahead if they were."""
    data.source = _read.get(_key(settings), data.source)
    return data


def _key(settings: Mapping[str, Any]) -> str:
    """What decides which data are read, and not how they are cut or valued."""
    return json.dumps([settings.get("root"), settings["source"]], sort_keys=True)
