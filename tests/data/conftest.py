import gzip
import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from servers import Quiet, start

from aelab.data.sources.idx import Idx
from aelab.data.sources.published import PublishedFile
from aelab.data.splits import Observations

ROLES = ("train_images", "train_labels", "test_images", "test_labels")


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX form of `array`, written after the published description and not with the reader's code."""
    codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    code = codes[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@dataclass(frozen=True)
class Published:
    """A small data set as it would be published: contents by file name, and their checksums."""

    arrays: dict[str, np.ndarray]

    def plain(self, role: str) -> bytes:
        return idx_bytes(self.arrays[role])

    def packed(self, role: str) -> bytes:
        return gzip.compress(self.plain(role), mtime=0)

    def write(self, folder: Path, suffix: str = ".gz") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for role in ROLES:
            content = self.packed(role) if suffix else self.plain(role)
            (folder / f"{role}{suffix}").write_bytes(content)
        return folder

    def files(self, known: str = "unpacked") -> dict[str, PublishedFile]:
        contents = {"unpacked": self.plain, "packed": self.packed}[known]
        return {
            role: PublishedFile(role, **{known: hashlib.md5(contents(role)).hexdigest()}) for role in ROLES
        }

    def source(self, root: Path | None = None, mirrors: tuple[str, ...] = (), known: str = "unpacked") -> Idx:
        return Idx("tiny", self.files(known), mirrors, root)


@pytest.fixture
def to_idx() -> Callable[[np.ndarray], bytes]:
    """The IDX form of an array."""
    return idx_bytes


@pytest.fixture
def published() -> Published:
    """Forty images to train on and ten to test."""
    draw = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 40), ("test", 10)):
        arrays[f"{split}_images"] = draw.integers(0, 256, (count, 4, 3), np.uint8)
        arrays[f"{split}_labels"] = draw.integers(0, 10, count, np.uint8)
    return Published(arrays)


@pytest.fixture
def numbered() -> Callable[..., Observations]:
    """Images whose first pixels spell their own number, so that a batch tells where it comes from."""

    def build(count: int, labels: bool = True) -> Observations:
        number = torch.arange(count)
        x = torch.full((count, 1, 2, 4), 128, dtype=torch.uint8)
        x[:, 0, 0, 0], x[:, 0, 0, 1] = (number // 256).byte(), (number % 256).byte()
        return Observations(x, number if labels else None)

    return build


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve the files of a folder until the test ends; the URL."""
    servers = []

    def begin(folder: Path, handler: type = Quiet) -> str:
        servers.append(start(folder, handler))
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()
