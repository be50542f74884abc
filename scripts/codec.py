"""A codec of waves beside ADPCM at the same bits in a second, on test sounds.

`python scripts/codec.py RUN...` prints a Markdown table: the runs of a quantised model of waves, and adaptive
quantisers of differences (Jayant 1973, https://doi.org/10.1002/j.1538-7305.1973.tb02008.x; of one bit, delta
modulation, Jayant 1970) at rates of samples that spend as many bits. The test sounds follow one another, so
that an ADPCM begins only once.
"""

import argparse
import math
import sys
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from aelab.core.errors import AelabError, DataError
from aelab.data.kinds import Waves
from aelab.models.posteriors import Indexed
from aelab.runs.data import opened, placed
from aelab.runs.find import run_of
from aelab.runs.trained import Trained, load

# Of the step, for each magnitude of a difference in steps (Jayant 1973, for coders of differences).
FACTORS = {2: [0.8, 1.6], 3: [0.9, 0.9, 1.25, 1.7], 4: [0.9, 0.9, 0.9, 0.9, 1.2, 1.6, 2.0, 2.4]}
DELTA, LEAK = 1.5, 0.9  # factor of a delta modulator's step; of a value in the prediction of the next
SMALLEST, LARGEST = 1e-4, 0.5  # steps
Row = tuple[str, float, dict[str, float]]


def main() -> int:
    given = _arguments()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for run in given.runs:
        model = load(run_of(run))
        kind, bits = of_waves(model)
        data = opened(placed(model.run.settings, given.root))
        x = data.observations("test").at(slice(None)).x
        if not rows:
            rows += [adpcm_row(kind, x, bits, depth) for depth in (1, 2, 4)]
        rows.append((model.run.settings.name, bits, means(kind, x, model.reconstruct(x))))
    print(
        "| codec | kbit/s | SI-SDR, dB | log-mel distance, dB | spectral convergence |\n|---|---|---|---|---|"
    )
    for name, bits, found in rows:
        cells = (found[key] for key in ("si_sdr", "log_mel_distance", "spectral_convergence"))
        print(f"| {name} | {bits / 1000:.2f} |" + "".join(f" {cell:.2f} |" for cell in cells))
    return 0


def of_waves(model: Trained) -> tuple[Waves, float]:
    """The kind of a model's sounds, and the bits in a second of its codes, as many for each symbol; DataError
    where they are no symbols of waves."""
    posterior, kind = model.model.posterior, model.kind
    if not isinstance(posterior, Indexed) or not isinstance(kind, Waves) or not kind.is_wave:
        raise DataError("the run is no quantised model of waves: variant=waveform_rvq would be")
    bits = math.prod(posterior.symbols) * math.log2(posterior.codes)
    return kind, bits * kind.view.rate / kind.view.length


def adpcm_row(kind: Waves, x: Tensor, bits: float, depth: int) -> Row:
    """An adaptive quantiser of so many bits for each of as many samples as these bits in a second pay for."""
    from scipy.signal import resample_poly

    ratio = Fraction(bits / depth / kind.view.rate).limit_denominator(64)
    up, down = ratio.numerator, ratio.denominator
    sound = x.flatten().numpy().astype(float)
    slow = resample_poly(sound, up, down) if up != down else sound
    coded = delta(slow) if depth == 1 else adpcm(slow, depth)
    back = resample_poly(coded, down, up) if up != down else coded
    found = torch.from_numpy(back[: len(sound)].astype(np.float32)).clamp(-1, 1).view_as(x)
    rate = kind.view.rate * up / down
    return f"ADPCM, {depth} bit, {rate:,.0f} Hz", rate * depth, means(kind, x, found)


def adpcm(sound: np.ndarray, bits: int) -> np.ndarray:
    """A sound (T,) as it comes back from differences of `bits` bits each, the step of which follows them."""
    factors, half = FACTORS[bits], 2 ** (bits - 1)
    value, step, back = 0.0, 0.01, np.empty_like(sound)
    for place, sample in enumerate(sound.tolist()):
        difference = sample - LEAK * value
        magnitude = min(int(abs(difference) / step), half - 1)
        value = LEAK * value + math.copysign((magnitude + 0.5) * step, difference)
        step = min(max(step * factors[magnitude], SMALLEST), LARGEST)
        back[place] = value
    return back


def delta(sound: np.ndarray) -> np.ndarray:
    """The same of one bit, the step of which grows while bits repeat themselves."""
    value, step, before, back = 0.0, 0.01, 1.0, np.empty_like(sound)
    for place, sample in enumerate(sound.tolist()):
        sign = math.copysign(1.0, sample - LEAK * value)
        step = min(max(step * (DELTA if sign == before else 1 / DELTA), SMALLEST), LARGEST)
        value, before = LEAK * value + sign * step, sign
        back[place] = value
    return back


def means(kind: Waves, x: Tensor, back: Tensor) -> dict[str, float]:
    """The errors of sounds (N, 1, T), on average."""
    return {name: float(values.mean()) for name, values in kind.compared(x, back).items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", help="their folders")
    parser.add_argument("--root", help="where the data lie; by default where they lay for the training")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AelabError as error:
        sys.exit(f"error: {error}")
