"""One evaluation: from a run's folder to what a suite of parts found, written into that folder."""

import hashlib
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from aelab.data.module import DataModule
from aelab.errors import AelabError, RunError
from aelab.evaluation.findings import Findings
from aelab.evaluation.subject import BLOCK, Subject
from aelab.matmul import choose_matmul
from aelab.runs.build import make
from aelab.runs.folder import RunFolder
from aelab.runs.peers import peers_of
from aelab.runs.report import report_evaluation
from aelab.runs.snapshot import hardware
from aelab.runs.train import quieten
from aelab.runs.trusted import trusted_settings
from aelab.runs.weights import checkpoint_of, device_of, model_of

FAILED = "failed:"


def main(config: DictConfig) -> None:
    """Evaluate the run that a composed configuration names.

    Raises RunError or ConfigurationError for what is no run that can be evaluated, and RunError where a part
    failed for another reason than the data or the model, after all others have been recorded.
    """
    quieten()
    if config.threads:
        torch.set_num_threads(config.threads)
    folder, suite = RunFolder.open(Path(config.run)), str(config.suite.name)
    parts = {name: make(node) for name, node in config.suite.parts.items() if node is not None}
    settings = trusted_settings(folder)
    for path in (folder.evaluation(suite), folder.trackers):
        if path.resolve() != path:
            raise RunError(f"{path} is a link, which leads elsewhere: remove it")
    folder.read_evaluations()  # what is damaged is refused before hours of work, not after them
    findings = evaluate(subject_of(folder, settings, config), parts, folder.evaluation(suite))
    plain = OmegaConf.to_container(config.suite.parts)
    folder.update_evaluations(**{suite: {**circumstances(folder), "parts": plain, **findings.record()}})
    findings.clear()
    hints = tell(folder, settings, suite, findings) if config.trackers else []
    report_evaluation(folder, suite, findings, hints)
    failed = [name for name, why in findings.left_out.items() if why.startswith(FAILED)]
    if failed:
        raise RunError(
            f"{' and '.join(failed)} failed, as the traceback above says; all else is in {folder.evaluations}"
        )


def evaluate(subject: Subject, parts: Mapping[str, Any], folder: Path) -> Findings:
    """Run the parts, one after the other; one that cannot be served or fails leaves the others alone."""
    findings = Findings(folder)
    seconds: dict[str, float] = {}
    for name, part in subject.track(parts.items(), "evaluation"):
        start = time.monotonic()
        try:
            part(subject, findings)
        except AelabError as error:
            findings.left_out[name] = str(error)
        except Exception as error:
            traceback.print_exc()
            findings.left_out[name] = f"{FAILED} {type(error).__name__}: {error}"
        seconds[name] = round(time.monotonic() - start, 2)
    findings.facts["seconds"] = seconds
    return findings


def subject_of(folder: RunFolder, settings: DictConfig, config: DictConfig) -> Subject:
    """The model with the weights that validation chose, the data of its run, and its peers."""
    device = device_of(config.device)
    model = model_of(folder, settings).to(device)
    choose_matmul(model, BLOCK)
    data = data_of(folder, settings, config.data.root)
    subject = Subject(model, data, str(settings.name), int(settings.seed), device)
    return replace(subject, peers=tuple(_peers(folder, settings, subject, config)))


def data_of(folder: RunFolder, settings: DictConfig, root: str | None = None) -> DataModule:
    """The data of a run, at `root` if that is given; RunError for others than it was trained on."""
    node = settings.data if root is None else OmegaConf.merge(settings.data, {"root": root})
    data = make(node)
    if not isinstance(data, DataModule):
        raise RunError(f"{folder.config} describes no data as its data: give a run as it was recorded")
    data.prepare_data()
    data.setup()
    recorded = folder.read().get("data", {}).get("checksums", data.checksums)
    if recorded != data.checksums:
        raise RunError(
            f"the data at hand are not those that {folder.path} was trained on (checksums {data.checksums}, "
            f"recorded {recorded}): give the same with data.root=FOLDER"
        )
    return data


def _peers(
    folder: RunFolder, settings: DictConfig, subject: Subject, config: DictConfig
) -> Iterator[Subject]:
    """Those that are given, or those that are found and can be read."""
    given = None if config.peers is None else [RunFolder.open(Path(path)) for path in config.peers]
    for peer in peers_of(folder, settings, given):
        try:
            yield _peer(peer, subject, str(config.suite.name))
        except AelabError as error:
            if given is not None:
                raise
            print(f"warning: a run of another seed is left aside: {error}", file=sys.stderr)


def _peer(folder: RunFolder, subject: Subject, suite: str) -> Subject:
    """A run of another seed, on the data and with the noise of the subject."""
    found = folder.read_evaluations().get(suite, {}).get("estimates", {})
    return replace(
        subject,
        model=model_of(folder, trusted_settings(folder)).to(subject.device),
        name=folder.path.name,
        estimates={name: estimate["value"] for name, estimate in found.items()},
    )


def circumstances(folder: RunFolder) -> dict[str, Any]:
    """Whose numbers these are, and what they depend on."""
    checkpoint, record = checkpoint_of(folder), folder.read()
    return {
        "run_id": record.get("run_id"),
        "name": folder.path.parent.name,
        "status": folder.status,
        "seed": record.get("seed"),
        "data": record.get("data"),
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "hardware": hardware(),
    }


def tell(folder: RunFolder, settings: DictConfig, suite: str, findings: Findings) -> list[str]:
    """Give estimates and figures to the run's own trackers, as a part of the same run; what they suggest."""
    record = folder.read()
    identity = {"folder": folder.path, "name": settings.name, "run_id": record["run_id"]}
    step = int(record.get("steps") or 0)
    values = {f"evaluation/{suite}/{name}": found.value for name, found in findings.estimates.items()}
    hints = []
    for node in (settings.get("logger") or {}).values():
        tracker = make(node)(**identity)
        tracker.log_metrics(values, step)
        for path in findings.figures:
            tracker.log_picture(f"evaluation/{suite}/{path.stem}", path, step)
        tracker.finish(int(record.get("exit_code") or 0))
        hints += [hint] if (hint := tracker.hint()) else []
    return hints
