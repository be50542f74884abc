"""MNIST and the data sets published in its form: four IDX files."""

from collections.abc import Mapping

import numpy as np
import torch

from aelab.core.errors import DataError
from aelab.data.sources.idx_format import parse
from aelab.data.sources.published import PublishedSource
from aelab.data.splits import Observations, Splits, checksum


class Idx(PublishedSource):
    """Four IDX files: `train_images`, `train_labels`, `test_images` and `test_labels`."""

    def load(self) -> Splits:
        """Read and verify all four files: about 0.5 s for 70,000 images of 28x28."""
        arrays, checksums = {}, {}
        for role, file in self.files.items():
            content = self._content(file)
            arrays[role] = parse(content, str(self._find(file)))
            checksums[file.name] = checksum(content)
        return Splits(self._images(arrays, "train"), self._images(arrays, "test"), checksums)

    def _images(self, arrays: Mapping[str, np.ndarray], split: str) -> Observations:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.dtype != np.uint8 or images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DataError(
                f"{self.folder}: the {split} files hold {images.dtype} images {images.shape} and labels "
                f"{labels.shape}; uint8 images (N, H, W) and labels (N,) are needed"
            )
        return Observations(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))
