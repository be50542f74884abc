"""A run as the parts of an evaluation see it, with the runs of other seeds that it is compared with."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from aelab.errors import AelabError
from aelab.evaluation.subject import BLOCK, Subject
from aelab.matmul import choose_matmul
from aelab.runs.datasets import data_of
from aelab.runs.folder import RunFolder
from aelab.runs.peers import peers_of, spaces_of
from aelab.runs.trusted import trusted_settings
from aelab.runs.weights import device_of, model_of


def subject_of(folder: RunFolder, settings: DictConfig, config: DictConfig) -> Subject:
    """The model with the weights that validation chose, the data of its run, and its peers."""
    device = device_of(config.device)
    model = model_of(folder, settings).to(device)
    choose_matmul(model, BLOCK)
    data = data_of(folder, settings, config.data.root)
    subject = Subject(model, data, str(settings.name), int(settings.seed), device)
    return replace(subject, peers=tuple(_peers(folder, settings, subject, config)))


def _peers(
    folder: RunFolder, settings: DictConfig, subject: Subject, config: DictConfig
) -> Iterator[Subject]:
    """Those that are given, or those that are found and can be read."""
    given = None if config.peers is None else [RunFolder.open(Path(path)) for path in config.peers]
    for peer in peers_of(folder, settings, given):
        try:
            yield _peer(peer, subject, config)
        except AelabError as error:
            if given is not None:
                raise
            print(f"warning: a run of another seed is left aside: {error}", file=sys.stderr)


def _peer(folder: RunFolder, subject: Subject, config: DictConfig) -> Subject:
    """A run of another seed, on the data and with the noise of the subject.

    It has estimates only where the very same parts made them: other options measure something else.
    """
    suite = str(config.suite.name)
    found, parts = folder.suite(suite), OmegaConf.to_container(config.suite.parts)
    return replace(
        subject,
        model=model_of(folder, trusted_settings(folder)).to(subject.device),
        name=folder.path.name,
        estimates=folder.estimates(suite) if found.get("parts") == parts else {},
        spaces=spaces_of(found),
    )
