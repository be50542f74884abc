"""One evaluation: from a run's folder to what a suite of parts found, written into that folder."""

import hashlib
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from aelab.config.construct import construct
from aelab.core.checks import at_least
from aelab.core.errors import (
    AelabError,
    ConfigurationError,
    InapplicableError,
    NonFiniteError,
    RunError,
)
from aelab.core.files import scratch
from aelab.core.signals import Signals
from aelab.evaluation.findings import Findings
from aelab.evaluation.publish import tell, trackers_of
from aelab.evaluation.report import report_evaluation
from aelab.evaluation.subject import Subject, subject_of
from aelab.figures.paper import Paper
from aelab.runs.find import runs_of
from aelab.runs.fit import quieten
from aelab.runs.folder import Run, RunFolder
from aelab.runs.model import checkpoint_of
from aelab.runs.provenance import hardware

FAILED = "failed:"


def main(config: DictConfig) -> None:
    """Evaluate the run, or one after the other the runs, that a composed configuration names.

    Raises RunError or ConfigurationError for what is no run that can be evaluated, and RunError where a part
    failed for another reason than the data or the model, after all others have been recorded; of several
    runs after all of them have been tried.
    """
    quieten()
    _check(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    paths = runs_of(config.run, config.runs)
    failed = 0
    for path in paths:
        try:
            evaluate_run(path, config)
        except AelabError as error:
            if len(paths) == 1:
                raise
            failed += 1
            print(f"error: {path}: {error}", file=sys.stderr)
    if failed:
        raise RunError(f"{failed} of {len(paths)} runs were not evaluated whole, for the reasons given above")


def evaluate_run(path: Path, config: DictConfig) -> None:
    """Evaluate one run, record what is found in its folder, and print it."""
    run, suite = Run.open(path), str(config.suite.name)
    folder, chosen = run.folder, {name: node for name, node in config.suite.parts.items() if node is not None}
    parts = {name: construct(node, f"suite.parts.{name}") for name, node in chosen.items()}
    # What would end the evaluation badly is looked at before hours of work, not after them.
    _check_place(folder, suite)
    earlier = folder.suite(suite)
    trackers = trackers_of(run, config.get("logger")) if config.trackers else []
    subject = subject_of(run, config)
    known = {**circumstances(folder), "parts": OmegaConf.to_container(config.suite.parts)}
    with _drafts(folder, suite) as drafts:
        findings = evaluate(subject, parts, drafts, Paper(**config.figures))
        findings.move(folder.evaluation(suite))
    known["time"] = datetime.now(UTC).isoformat(timespec="seconds")
    folder.update_evaluations(**{suite: {**known, **findings.record()}})
    findings.clear(earlier)
    hints = tell(trackers, folder, suite, findings)
    report_evaluation(folder, suite, findings, hints, None if config.table == "full" else config.table)
    if failed := [name for name, why in findings.left_out.items() if why.startswith(FAILED)]:
        raise RunError(
            f"{' and '.join(failed)} failed, for the reason given above; all else is in {folder.evaluations}"
        )


def _check(config: DictConfig) -> None:
    """ConfigurationError for options that no composition refuses."""
    at_least(1, threads=config.threads)
    if config.peers is not None and not isinstance(config.peers, ListConfig):
        raise ConfigurationError(f"peers={config.peers}: give a list of runs, as peers=[{config.peers}]")
    if config.table != "full" and not isinstance(config.table, ListConfig):
        raise ConfigurationError(f"table={config.table}: give full, or a list, as table=[likelihood/elbo]")


def _check_place(folder: RunFolder, suite: str) -> None:
    """RunError for a folder that a figure or table might have to replace, where these go."""
    for path in folder.evaluation(suite).glob("*"):
        if path.is_dir():
            raise RunError(f"{path} is a folder, and figures and tables go there: remove it")


@contextmanager
def _drafts(folder: RunFolder, suite: str) -> Iterator[Path]:
    """A new folder beside that of the suite, so that figures and tables are replaced when all are there."""
    place = folder.evaluation(suite)
    with Signals() as signals, ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            drafts = stack.enter_context(scratch(place.parent))
        except OSError as error:
            raise RunError(
                f"{place} cannot be written ({error.strerror}): evaluate a copy of the run in a writable "
                "folder"
            ) from error
        try:
            yield drafts
        finally:
            signals.deferred = True


def evaluate(
    subject: Subject, parts: Mapping[str, Any], folder: Path, paper: Paper | None = None
) -> Findings:
    """Run the parts, one after the other; one that cannot be served or fails leaves the others alone.

    Left out is what this model or these data cannot serve; all else that stops a part is a failure.
    """
    findings = Findings(folder, subject.data.kind.noun, paper=paper or Paper(None))
    seconds: dict[str, float] = {}
    for name, part in subject.track(parts.items(), "evaluation"):
        start = time.monotonic()
        try:
            part(subject, findings)
        except (InapplicableError, NonFiniteError) as error:
            findings.left_out[name] = str(error)
        except AelabError as error:
            findings.left_out[name] = f"{FAILED} {error}"
        except Exception as error:
            traceback.print_exc()
            findings.left_out[name] = f"{FAILED} {type(error).__name__}: {error}"
        seconds[name] = round(time.monotonic() - start, 2)
    findings.facts["seconds"] = seconds
    return findings


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
