"""How often an estimate's 95 % interval, its value ± 1.96 errors, holds what the estimate is on average.

`python scripts/error_coverage.py --sets 400 --images 400` draws sets of features, logits, codes and scores.
It prints, for each estimate, the share of sets whose interval holds the mean over all sets, and the
mean error in units of the spread of the values. Shares from .93 to .97 are right.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch

from aelab.metrics.detection import auroc, fpr_at_95
from aelab.metrics.disentanglement.agreement import udr
from aelab.metrics.disentanglement.suite import disentanglement
from aelab.metrics.estimate import Estimate
from aelab.metrics.generation import generation
from aelab.metrics.representation.alignment import cka

FEATURES, CLASSES = 8, 5
MODELS = 10  # of different seeds, which agree in part


def estimates(images: int, seed: int) -> Mapping[str, Estimate]:
    """All estimates of one set that is drawn from this seed, by name."""
    generator = torch.Generator().manual_seed(seed)
    real, train, fake, logits = (torch.randn(images, FEATURES, generator=generator) for _ in range(4))
    fake = 0.3 + 1.1 * fake
    found = dict(generation(real, fake, train, 2 * logits[:, :CLASSES], seed))
    found["cka"] = cka((real + fake).numpy(), (real - 0.5 * fake).numpy())
    factors = torch.randint(3, (2, images, 2), generator=generator).numpy()
    codes = factors + 0.6 * real[:, :2].numpy()
    found |= disentanglement(codes[0], factors[0], codes[1], factors[1], seed, votes=1000)[0]
    mixing = torch.randn(MODELS, 4, 4, generator=generator) + 2 * torch.eye(4)
    found["udr"] = udr(list((real[:, :4] @ mixing).numpy()), [np.ones(4)] * MODELS)[1]
    anomalous = np.arange(images) < images // 2
    scores = real[:, 0].numpy() + 1.5 * anomalous
    found |= {"auroc": auroc(scores, anomalous), "fpr_at_95": fpr_at_95(scores, anomalous)}
    return found


def main() -> None:
    """Draw the sets and print a row for each estimate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--images", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    notes = {}
    for seed in range(given.sets):
        for name, estimate in estimates(given.images, seed).items():
            if estimate.error is not None:
                found[name].append((estimate.value, estimate.error))
                notes[name] = estimate.note
    print("| estimate | within 1.96 errors | error / spread | note |\n|---|---|---|---|")
    for name, pairs in found.items():
        values, errors = np.array(pairs).T
        within = (abs(values - values.mean()) <= 1.96 * errors).mean()
        print(f"| `{name}` | {within:.3f} | {errors.mean() / values.std(ddof=1):.2f} | {notes[name]} |")


if __name__ == "__main__":
    main()
