"""Runs trained again from their records, and compared with what they recorded."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

import aelab
from aelab.config.identity import fingerprint
from aelab.config.recorded import settings_of
from aelab.config.trusted import trusted_settings
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.files import claimed, write_json
from aelab.core.paths import conf_dir, from_user
from aelab.core.signals import Signals
from aelab.reproduction.agreement import Agreement, Tolerance, Verdict, check_comparable, compare
from aelab.reproduction.clean_tree import clean_tree, diffstat, repository_with
from aelab.reproduction.environment import Difference, Environment, check_machine, differences
from aelab.reproduction.recorded import Recorded, environment_of, recorded_run
from aelab.reproduction.report import Reproduction, say, show_environment, show_study, show_verdict
from aelab.reproduction.retraining import Source, train_again
from aelab.runs.data import opened, placed
from aelab.runs.find import REPRODUCTION, runs_of
from aelab.runs.fit import quieten
from aelab.runs.folder import RunFolder
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
    """Train all of them again; none that cannot be stops the others. The worst verdict."""
    outputs = _outputs(from_user(config.outputs))
    found: list[Reproduction] = []
    _record(outputs, found, tolerance)
    for path in paths:
        say("run", str(path))
        found.append(_reproduced(path, config, outputs, tolerance))
        show_verdict(found[-1])
        _record(outputs, found, tolerance)
    if len(found) > 1:
        show_study(found)
    say("report", str(outputs / REPRODUCTION))
    return Verdict.worst([item.agreement.verdict for item in found])


def check(paths: list[Path], config: DictConfig) -> Verdict:
    """Compare environments only: nothing is trained or written, and no recorded code is run."""
    verdicts = []
    for path in paths:
        say("run", str(path))
        try:
            recorded = recorded_run(path)
            _repository(recorded, config)
            differing = _differing(recorded, config)
        except (AelabError, OSError) as error:
            say("check", f"{Verdict.IMPOSSIBLE.words}: {error}")
            verdicts.append(Verdict.IMPOSSIBLE)
            continue
        show_environment(differing)
        same = not any(item.matters for item in differing)
        verdicts.append(Verdict.BIT_EQUAL if same else Verdict.WITHIN)
        say("check", "the same bits are expected" if same else "a tolerance is needed: bits may differ")
    return Verdict.worst(verdicts)


def _outputs(parent: Path) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        return claimed(parent.resolve())
    except OSError as error:
        raise ConfigurationError(
            f"outputs={parent} cannot be written ({error.strerror}): choose a writable folder"
        ) from error


def _record(outputs: Path, found: list[Reproduction], tolerance: Tolerance) -> None:
    runs = [item.record() for item in found]
    worst = Verdict.worst([item.agreement.verdict for item in found]).words if found else None
    allowed = {"relative": tolerance.relative, "absolute": tolerance.absolute}
    write_json(outputs / REPRODUCTION, {"verdict": worst, "tolerance": allowed, "runs": runs})


def _reproduced(path: Path, config: DictConfig, outputs: Path, tolerance: Tolerance) -> Reproduction:
    try:
        return _trained(recorded_run(path), config, outputs, tolerance)
    except (AelabError, OSError) as error:
        return Reproduction(path, Agreement(Verdict.IMPOSSIBLE, [str(error)]))


def _trained(recorded: Recorded, config: DictConfig, outputs: Path, tolerance: Tolerance) -> Reproduction:
    folder, notes = recorded.folder, []
    check_comparable(folder)
    with _source(recorded, config) as source:
        if recorded.commit is None:
            notes.append(f"no commit is recorded: the running aelab {recorded.version} was used")
        settings = placed(trusted_settings(folder.config, source.conf), config.data.root, source.conf)
        if settings.start.run is not None:
            settings.start.run = str(folder.path)  # it keeps what it started from
        check_machine(settings, recorded.environment.hardware)
        show_environment(expected := _differing(recorded, config))
        _check_data(expected)
        again = train_again(source, settings, recorded.environment.threads, outputs)
    # The new run's own record knows best: it was written by the recorded code where it trained.
    here = environment_of(again, again.read())
    differing = [*recorded.gaps(), *differences(recorded.environment, here)]
    show_environment([item for item in differing if item not in expected])
    exact = not any(item.matters for item in differing)
    agreement = compare(folder, again, None if exact else tolerance)
    if agreement.why:
        notes += _other_configuration(folder)
    agreement = replace(agreement, notes=[*notes, *agreement.notes])
    return Reproduction(folder.path, agreement, differing, recorded.commit, again.path)


def _repository(recorded: Recorded, config: DictConfig) -> Path | None:
    """The repository that has the recorded commit; None where the running code is the recorded one."""
    if recorded.commit is not None:
        return repository_with(recorded.commit, from_user(config.repository or conf_dir()))
    if recorded.patch:
        raise RunError(f"{recorded.folder.path} has changes of the code, but no commit that they are of")
    if recorded.version != version("aelab"):
        raise RunError(
            f"{recorded.folder.path} records no commit, but aelab {recorded.version}, and this is "
            f"{version('aelab')}: install the version that it was made with"
        )
    return None


@contextmanager
def _source(recorded: Recorded, config: DictConfig) -> Iterator[Source]:
    repository = _repository(recorded, config)
    if repository is None or recorded.commit is None:
        yield Source(Path(aelab.__file__).resolve().parents[1], conf_dir())
        return
    if recorded.patch and not config.trust_patch:
        print(diffstat(recorded.patch), end="")
        raise RunError(
            f"{recorded.folder.path} was made with uncommitted changes, which would be run as code: read "
            f"{recorded.folder.patch.name}, and give trust_patch=true if you trust it"
        )
    with clean_tree(repository, recorded.commit, recorded.patch) as tree:
        yield Source(tree / "src", tree / "conf")


def _differing(recorded: Recorded, config: DictConfig) -> list[Difference]:
    """What is known to differ before anything is trained."""
    torch.set_num_threads(recorded.environment.threads)
    here = Environment(
        packages(), hardware(), torch.get_num_threads(), _checksums(recorded.folder, config.data.root)
    )
    return [*recorded.gaps(), *differences(recorded.environment, here)]


def _checksums(folder: RunFolder, root: str | None) -> dict[str, str] | None:
    """Of the data at hand; None where only the recorded code could read them.

    Raises:
        DataError: they are missing or damaged.
    """
    try:
        return opened(placed(trusted_settings(folder.config), root)).checksums
    except (RunError, ConfigurationError) as error:
        say("note", f"the data were not checked, for the running code does not know them: {error}")
        return None


def _check_data(differing: list[Difference]) -> None:
    other = [item.what for item in differing if item.what.startswith("data: ")]
    if other:
        raise RunError(
            f"the data at hand are not those that the run was trained on ({', '.join(other)}): give the same "
            "with data.root=FOLDER"
        )


def _other_configuration(folder: RunFolder) -> Iterator[str]:
    """What may explain a difference: weights that were made with another configuration than the folder's."""
    if folder.best.is_file() and fingerprint_in(load(folder.best)) != fingerprint(settings_of(folder.config)):
        yield f"{folder.config.name} was changed: {folder.best.name} was trained with another configuration"
