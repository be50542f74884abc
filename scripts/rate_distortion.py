"""Bits and errors of lossy files of test images: `python scripts/rate_distortion.py FOLDER RUN ...`.

RUN: trained models of one data set, of real codes, which are rounded to grids of several steps, or of a
codebook. Beside them stand JPEG, WebP and JPEG-XL of several qualities, of the same images in one picture,
and ways without loss. The files of models are whole: what they hold beside the codes counts. A Markdown table
is printed; FOLDER takes it as rates.csv, and the chart as rates.png.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import aelab
from aelab.core.errors import AelabError
from aelab.jobs.compression_baselines import PICTURES, encoded, mosaic, sizes, unfolded
from aelab.runs.data import data_of
from aelab.runs.trained import Trained

STEPS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
QUALITIES = {"JPEG": (1, 5, 10, 20, 40, 70), "WebP": (0, 10, 30, 60, 90), "JPEG-XL": (1, 10, 30, 60, 90)}
Point = tuple[str, str, float, float]  # of which way, how set, bits for each value, PSNR in dB


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("folder", type=Path, help="of the table and the chart")
    arguments.add_argument("runs", nargs="+", help="folders of runs, each as NAME=FOLDER or FOLDER")
    arguments.add_argument("--root", help="where the data set's files lie")
    arguments.add_argument("--images", type=int, help="of the test split; all if it is left out")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    points = list(measured(given.runs, given.root, given.images))
    with (given.folder / "rates.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["way", "set", "bits", "psnr"], *points])
    print("\n".join(table(points)))
    draw(points, given.folder / "rates.png")
    return 0


def measured(runs: Sequence[str], root: str | None, count: int | None) -> Iterator[Point]:
    """Every point of every way."""
    x: np.ndarray | None = None
    for run in runs:
        name, _, folder = run.rpartition("=")
        model = aelab.load(folder)
        if x is None:
            data = data_of(model.run, root).expected()
            x = data.observations("test").at(data.drawn("test", count)).x.numpy()
            yield from of_others(x)
        yield from of_model(name or str(model.run.settings.name), model, x, root)


def of_model(name: str, model: Trained, x: np.ndarray, root: str | None) -> Iterator[Point]:
    """Those of a model: one of a codebook, and one for each step of a grid."""
    for step in (None,) if model.model.codes else STEPS:
        try:
            content = model.lossy(torch.from_numpy(x), step, root=root)
        except AelabError as error:
            print(f"left out: {name}, {error}", file=sys.stderr)
            return
        back = model.decompress(content).numpy()
        yield (
            name,
            "codebook" if step is None else f"step {step}",
            8 * len(content) / x.size,
            psnr(x, 255 * back),
        )


def of_others(x: np.ndarray) -> Iterator[Point]:
    """Those of codecs of one picture, and of ways without loss, whose PSNR is infinite."""
    picture = mosaic(x)
    for form, qualities in QUALITIES.items():
        for quality in qualities:
            content = encoded(picture, PICTURES.get(form, form), quality=quality)
            back = unfolded(decoded(content), x.shape)
            yield form, f"quality {quality}", 8 * len(content) / x.size, psnr(x, back)
    for name, size in sizes(x, 256):
        yield name, "without loss", 8 * size / x.size, float("inf")


def decoded(content: bytes) -> Image.Image:
    import io

    return Image.open(io.BytesIO(content))


def psnr(x: np.ndarray, back: np.ndarray) -> float:
    """In dB, of the squared error over all images, of levels 0 to 255."""
    error = np.square(x.astype(np.float64) - np.rint(back).clip(0, 255)).mean()
    return float(10 * np.log10(255**2 / error))


def table(points: Sequence[Point]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| | | bits for each value | PSNR, dB |"
    yield "|---|---|---|---|"
    for way, setting, bits, quality in points:
        yield f"| {way} | {setting} | {bits:.4f} | {'' if np.isinf(quality) else f'{quality:.2f}'} |"


def draw(points: Sequence[Point], path: Path) -> None:
    """PSNR over bits, a line for each way with loss; those without are told by where their bits are."""
    from matplotlib.figure import Figure

    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    with_loss = [point for point in points if np.isfinite(point[3])]
    for place, way in enumerate(dict.fromkeys(point[0] for point in with_loss)):
        each = sorted((bits, quality) for name, _, bits, quality in with_loss if name == way)
        style = ":s" if way in QUALITIES else "-D" if len(each) == 1 else "-o"
        colour = f"C{place}" if place < 10 else "k"
        axes.plot(*zip(*each, strict=True), style, color=colour, ms=3, lw=1, label=way)
    for place, (way, _, bits, _) in enumerate(sorted(set(points) - set(with_loss), key=lambda p: p[2])):
        axes.axvline(bits, color="0.85", lw=0.8, zorder=0)
        axes.annotate(f"{way}, no loss", (bits, 0.03 + 0.04 * place), xycoords=("data", "axes fraction"),
                      ha="right", fontsize=6, color="0.4")  # fmt: skip
    axes.set(xscale="log", xlabel="bits for each value", ylabel="PSNR, dB")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(main())
