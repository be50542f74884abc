"""The process that trains a configuration by recorded code, whose `src` is the first on its path.

`python training_process.py CONFIG THREADS SOURCE`. Each tree has its own, which may change with its rest.
Lightning starts the further processes of a training by the same command.
"""

import os
import sys
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

import aelab
from aelab.core.errors import AelabError
from aelab.core.signals import Signals
from aelab.runs.find import run_as
from aelab.runs.fit import CHECKPOINT, RUN, quieten
from aelab.runs.folder import Run
from aelab.runs.train import take_part, train


def main() -> None:
    """Train; a refusal is one sentence and exit code 1."""
    path, threads, source = sys.argv[1:]
    if not Path(aelab.__file__).resolve().is_relative_to(source):
        sys.exit(f"error: {aelab.__file__} would be run in the place of the recorded code in {source}")
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    # What the recorded run found and its configuration may leave open.
    torch.set_num_threads(int(threads))
    quieten()
    try:
        with Signals() as signals:
            if RUN in os.environ:
                take_part(
                    run_as(Run.planned(config), Path(os.environ[RUN])), os.environ.get(CHECKPOINT), signals
                )
            else:
                train(config, signals)
    except AelabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
