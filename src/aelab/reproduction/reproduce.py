"""Runs trained again from their records, and compared with what they recorded."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

import aelab
from aelab.config.trusted import trusted_settings
from aelab.core.environment import Difference, Environment, differences
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.files import new_folder, write_json
from aelab.core.paths import conf_dir, from_user
from aelab.core.signals import Signals
from aelab.core.terminal import result
from aelab.reproduction.checkout import clean_checkout, diffstat, has_file, repository_with
from aelab.reproduction.environment import check_machine
from aelab.reproduction.recorded_run import RecordedRun, environment_of, read_recorded_run
from aelab.reproduction.report import Reproduction, print_line, show_environment, show_study, show_verdict
from aelab.reproduction.retraining import TRAINING_PROCESS, CodeTree, retrain
from aelab.reproduction.verdict import Agreement, Tolerance, Verdict, check_comparable, compare
from aelab.runs.data import opened, placed
from aelab.runs.find import REPRODUCTION, runs_of
from aelab.runs.fit import quieten
from aelab.runs.folder import Run, RunFolder
from aelab.runs.model import fingerprint_in
from aelab.runs.provenance import hardware, packages
from aelab.training.checkpoints import load


def main(config: DictConfig) -> None:
    """Reproduce the runs that a composed configuration names, or check their environments only.

    Exits with the code of the worst verdict, where that is not bit-equal.
    """
    quieten()
    if HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN:
        raise ConfigurationError("several runs are reproduced by runs=[FOLDER,...], not by a sweep (-m)")
    paths = runs_of(config.run, config.runs)
    tolerance = Tolerance(**config.tolerance)
    with Signals():
        verdict = check(paths, config) if config.check else reproduce(paths, config, tolerance)
    if verdict.code:
        sys.exit(verdict.code)


def reproduce(paths: list[Path], config: DictConfig, tolerance: Tolerance) -> Verdict:
    """Train all runs again; the worst verdict. One that cannot be reproduced does not stop the others."""
    outputs = _outputs(from_user(config.to))
    found: list[Reproduction] = []
    _record(outputs, found, tolerance)
    for path in paths:
        print_line("run", str(path))
        found.append(_reproduced(path, config, outputs, tolerance))
        show_verdict(found[-1])
        _record(outputs, found, tolerance)
    if len(found) > 1:
        show_study(found)
    print_line("report", str(outputs / REPRODUCTION))
    result(report=outputs / REPRODUCTION, **_document(found, tolerance))
    return Verdict.worst([item.agreement.verdict for item in found])


def check(paths: list[Path], config: DictConfig) -> Verdict:
    """The worst verdict by the environments alone: nothing is trained or written, no recorded code is run."""
    verdicts, runs = [], []
    for path in paths:
        print_line("run", str(path))
        try:
            recorded = read_recorded_run(path)
            _repository(recorded, config)
            differing = _differing(recorded, config)
        except (AelabError, OSError) as error:
            print_line("check", f"{Verdict.IMPOSSIBLE.words}: {error}")
            verdicts.append(Verdict.IMPOSSIBLE)
            runs.append({"run": path, "verdict": Verdict.IMPOSSIBLE.words, "why": [str(error)]})
            continue
        show_environment(differing)
        same = not any(item.matters for item in differing)
        verdicts.append(Verdict.BIT_EQUAL if same else Verdict.WITHIN)
        runs.append({"run": path, "bits_may_differ": not same, "environment": list(map(asdict, differing))})
        print_line(
            "check", "the same bits are expected" if same else "a tolerance is needed: bits may differ"
        )
    result(runs=runs)
    return Verdict.worst(verdicts)


def _outputs(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return new_folder(parent.resolve())
    except OSError as error:
        raise ConfigurationError(
            f"to={parent} cannot be written ({error.strerror}): choose a writable folder"
        ) from error


def _record(outputs: Path, found: list[Reproduction], tolerance: Tolerance) -> None:
    write_json(outputs / REPRODUCTION, _document(found, tolerance))


def _document(found: list[Reproduction], tolerance: Tolerance) -> dict[str, Any]:
    worst = Verdict.worst([item.agreement.verdict for item in found]).words if found else None
    return {"verdict": worst, "tolerance": asdict(tolerance), "runs": [item.record() for item in found]}


def _reproduced(path: Path, config: DictConfig, outputs: Path, tolerance: Tolerance) -> Reproduction:
    try:
        return _trained(read_recorded_run(path), config, outputs, tolerance)
    except (AelabError, OSError) as error:
        return Reproduction(path, Agreement(Verdict.IMPOSSIBLE, [str(error)]))


def _trained(recorded: RecordedRun, config: DictConfig, outputs: Path, tolerance: Tolerance) -> Reproduction:
    folder, notes = recorded.folder, []
    check_comparable(folder)
    with _code_tree(recorded, config) as code:
        if recorded.commit is None:
            notes.append(f"no commit is recorded: the running aelab {recorded.version} was used")
        run = Run.open(folder.path, code.conf)
        settings = placed(run.settings, config.data.root, code.conf)
        if settings.start.run is not None:
            settings.start.run = str(folder.path)  # it keeps what it started from
        check_machine(settings, recorded.environment.hardware)
        show_environment(expected := _differing(recorded, config))
        _check_data(expected)
        again = retrain(code, settings, recorded.environment.threads, outputs)
    # From the new run's own record, which the recorded code wrote where it trained.
    here = environment_of(again, again.read())
    differing = [*recorded.gaps(), *differences(recorded.environment, here)]
    show_environment([item for item in differing if item not in expected])
    exact = not any(item.matters for item in differing)
    agreement = compare(folder, again, None if exact else tolerance)
    if agreement.why:
        notes += _other_configuration(run)
    agreement = replace(agreement, notes=[*notes, *agreement.notes])
    return Reproduction(folder.path, agreement, differing, recorded.commit, again.path)


def _repository(recorded: RecordedRun, config: DictConfig) -> Path | None:
    """The repository that has the recorded commit; None where the running code is the recorded one."""
    if recorded.commit is not None:
        repository = repository_with(recorded.commit, from_user(config.repository or conf_dir()))
        if not has_file(repository, recorded.commit, f"src/{TRAINING_PROCESS}"):
            raise RunError(
                f"{recorded.folder.path} is of an earlier layout of aelab, which this one cannot run: train "
                f"it again, or check out {recorded.commit} and reproduce it there"
            )
        return repository
    if recorded.patch:
        raise RunError(f"{recorded.folder.path} has changes of the code, but no commit that they are of")
    if recorded.version != version("aelab"):
        raise RunError(
            f"{recorded.folder.path} records no commit, but aelab {recorded.version}, and this is "
            f"{version('aelab')}: install the version that it was made with"
        )
    return None


@contextmanager
def _code_tree(recorded: RecordedRun, config: DictConfig) -> Iterator[CodeTree]:
    repository = _repository(recorded, config)
    if repository is None or recorded.commit is None:
        yield CodeTree(Path(aelab.__file__).resolve().parents[1], conf_dir())
        return
    if recorded.patch and not config.trust_patch:
        print(diffstat(recorded.patch), end="")
        raise RunError(
            f"{recorded.folder.path} was made with uncommitted changes, which would be run as code: read "
            f"{recorded.folder.patch.name}, and give trust_patch=true if you trust it"
        )
    with clean_checkout(repository, recorded.commit, recorded.patch) as tree:
        yield CodeTree(tree / "src", tree / "conf")


def _differing(recorded: RecordedRun, config: DictConfig) -> list[Difference]:
    """The differences that are known before anything is trained."""
    torch.set_num_threads(recorded.environment.threads)
    checksums = _checksums(recorded.folder, config.data.root)
    here = Environment(packages(), hardware(), torch.get_num_threads(), checksums)
    unknown = [] if checksums else [Difference("data", "recorded", "not checked", matters=True)]
    return [*recorded.gaps(), *unknown, *differences(recorded.environment, here)]


def _checksums(folder: RunFolder, root: str | None) -> dict[str, str] | None:
    """The checksums of the data here; None where only the recorded code could read them.

    Raises:
        DataError: they are missing or damaged.
    """
    try:
        return opened(placed(trusted_settings(folder.config), root)).checksums
    except (RunError, ConfigurationError) as error:
        print_line("note", f"the data were not checked, for the running code does not know them: {error}")
        return None


def _check_data(differing: list[Difference]) -> None:
    other = [item.what for item in differing if item.what.startswith("data: ")]
    if other:
        raise RunError(
            f"the data at hand are not those that the run was trained on ({', '.join(other)}): give the same "
            "with data.root=FOLDER"
        )


def _other_configuration(run: Run) -> Iterator[str]:
    """The note that the weights were made with another configuration than the folder's, if they were."""
    config, best = run.folder.config, run.folder.best
    if best.is_file() and fingerprint_in(load(best)) != run.fingerprint:
        yield f"{config.name} was changed: {best.name} was trained with another configuration"
