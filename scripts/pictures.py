"""The pictures of README.md, made anew: python scripts/pictures.py [--to FOLDER] [OPTION=VALUE ...]

Two trainings on MNIST, an evaluation, and a comparison of eight variants over three seeds on digits; Chromium
photographs its page where there is one. Options go to the trainings on MNIST, as data.root=FOLDER.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
AELAB = (sys.executable, "-m", "aelab")
TRAINED = {"vae": "trainer.max_epochs=20", "cvae": "trainer.max_epochs=10"}
COMPARED = "vae,beta_vae,iwae,info_vae,vamp_vae,flow_prior_vae,iaf_vae,ae"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> None:
    """Make all of them, or say which command failed."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    given, options = parser.parse_known_args()
    given.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in pictures(Path(folder), options):
            shutil.copy(path, given.to)
            print(f"picture   {given.to / path.name}")


def pictures(outputs: Path, options: Sequence[str]) -> Iterator[Path]:
    """Each picture, once it is made."""
    for variant, epochs in TRAINED.items():
        chosen = (f"variant={variant}", "data=mnist", "values=dynamic", epochs)
        aelab("train", *chosen, *common(outputs), *options)
    (vae,), (cvae,) = (list(outputs.glob(f"{variant}_*/*")) for variant in TRAINED)
    yield vae / "pictures" / "reconstructions.png"
    yield cvae / "pictures" / "samples.png"
    tsne = "suite.parts.representation.tsne=true"
    aelab("evaluate", f"run={vae}", tsne, *(word for word in options if word.startswith("data.root=")))
    found = vae / "evaluation" / "quick"
    yield found / "traversals.png"
    yield (found / "codes_tsne.png").rename(found / "codes.png")
    yield from report(outputs / "digits")


def report(outputs: Path) -> Iterator[Path]:
    """The head of a comparison's page; nothing without a browser."""
    browser = os.environ.get("AELAB_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("without   report.png: no Chromium in PATH; AELAB_CHROMIUM can name one")
        return
    aelab(
        "sweep", f"variant={COMPARED}", "seed=0,1,2", "trainer.max_epochs=20", "threads=1", *common(outputs)
    )
    # By default what `ae` has not, as a bound, would be left out.
    metrics = "metric=[test/elbo,test/kl,test/distortion,test/mse]"
    aelab("compare", f"runs={outputs}", "baseline=vae_digits", metrics, f"to={outputs / 'compared'}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        page = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(
            viewport={"width": 1440, "height": 900}
        )
        page.goto((outputs / "compared" / "report.html").as_uri())
        page.wait_for_selector("html[data-ready]")
        page.screenshot(path=outputs / "report.png")
    yield outputs / "report.png"


def common(outputs: Path) -> Sequence[str]:
    """What all trainings are told."""
    return ["logger=[]", f"outputs={outputs}"]


def aelab(*words: str) -> None:
    """Run a command in a process of its own; its failure ends all."""
    if subprocess.run([*AELAB, *words], cwd=ROOT).returncode:
        sys.exit(f"failed: aelab {' '.join(words)}")


if __name__ == "__main__":
    main()
