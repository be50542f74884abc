"""A trained model as files that other programs read, each compared with the original before it is kept."""

import json
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from aelab.cli.bundle import portable, save_bundle
from aelab.config.construct import construct_recorded
from aelab.config.identity import fingerprint
from aelab.core.errors import AelabError, ConfigurationError, InapplicableError
from aelab.core.files import draft
from aelab.core.records import Batch
from aelab.core.text import sentence
from aelab.data.kinds import Kind
from aelab.models import Autoencoder
from aelab.models.conditions import sees_observation
from aelab.runs.find import run_of
from aelab.runs.model import WEIGHTS
from aelab.runs.trained import Trained, load

EXACT = 1e-5  # the largest difference of an output, relative where outputs are above 1
TRACED, COMPARED = 3, 5  # observations: the two differ, so that a fixed batch size is noticed
FORMATS = ("onnx", "torch_export", "safetensors", "bundle")
NAMES = {"encoder": ("x", "latent_mean"), "decoder": ("z", "reconstruction")}  # of a graph's input and output
PARTS = tuple(NAMES)
Written = tuple[Path, Callable[..., Tensor]]  # a file, and what it computes once read back


class Encode(nn.Module):
    """x (N, *shape) as the model sees it, and y or attributes of a conditional model -> means of q(z|x,c),
    (N, latent)."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        return self.model.posterior_of(x, self.model.context(_batch(self.model, x, told))).mean


class Decode(nn.Module):
    """z (N, latent), and y or attributes of a conditional model -> what comes back of it, (N, *shape), as the
    kind of observation has it: the mean of p(x|z,c)."""

    def __init__(self, model: Autoencoder, kind: Kind) -> None:
        super().__init__()
        self.model, self.back = model, kind.back

    def forward(self, z: Tensor, told: Tensor | None = None) -> Tensor:
        context = self.model.context(_batch(self.model, z, told))
        return self.back(self.model.decode(z[None], context))[0]


def main(config: DictConfig) -> None:
    """Write the files that a composed configuration asks for."""
    if config.format not in FORMATS:
        raise ConfigurationError(f"format={config.format}: choose {', '.join(FORMATS)}")
    if config.part not in ("all", *PARTS):
        raise ConfigurationError(f"part={config.part}: choose all, {' or '.join(PARTS)}")
    whole = config.format in ("safetensors", "bundle")
    if whole and config.part != "all":
        raise ConfigurationError(f"format={config.format} holds all weights: choose part=all")
    if config.license is not None and config.format != "bundle":
        raise ConfigurationError("license=... stands on the card of a bundle: choose format=bundle")
    model = load(run_of(config.run))
    with draft(config.to, config.overwrite) as folder:
        folder.mkdir()
        if config.format == "bundle":
            save_bundle(model, folder, config.license)
        if whole:
            save_weights(model, folder / WEIGHTS)
        for part in () if whole else PARTS if config.part == "all" else (config.part,):
            save_graph(model, part, config.format, folder)
        names = sorted(file.name for file in folder.iterdir())
    print(f"exported  {config.to}: {', '.join(names)}")


def save_weights(model: Trained, path: Path) -> None:
    """All weights, with the run's configuration, its fingerprint and what its values were made with as
    metadata; read back and compared."""
    safetensors = _library("safetensors.torch")
    weights = {name: value.cpu().clone() for name, value in model.model.state_dict().items()}
    settings = portable(model.run.settings)
    metadata = {
        "configuration": json.dumps(OmegaConf.to_container(settings)),
        "fingerprint": fingerprint(settings),
        "values": json.dumps(model.values.state()),
    }
    safetensors.save_file(weights, path, metadata)
    twin = construct_recorded(model.run.settings.model, "model").eval()
    twin.load_state_dict(safetensors.load_file(path))
    inputs = _examples(model, "decoder", COMPARED)
    with torch.no_grad():
        _compare(path, *(Decode(each, model.kind)(*inputs) for each in (twin, model.model)))


def save_graph(model: Trained, part: str, form: str, folder: Path) -> None:
    """The graph of a part with a batch of any size; read back and compared on another size.

    Raises InapplicableError for a model that cannot be traced, or comes back otherwise than it was.
    """
    if model.model.follows_gradient and part == "encoder":
        raise InapplicableError(
            "the encoder follows a gradient (structure=hamiltonian), which no graph can: choose "
            "part=decoder, or format=safetensors"
        )
    if model.model.encoder is None and part == "encoder":
        raise InapplicableError("the model has no encoder (posterior=none): choose part=decoder")
    if sees_observation(model.model.conditioner) and part == "decoder":
        raise InapplicableError("the decoder is shown a part of the observation: choose part=encoder")
    if model.model.likelihood.drawn and part == "decoder":
        raise InapplicableError(
            f"each place of {model.kind.nouns} is written given those before it, which no graph does: choose "
            "part=encoder, or format=bundle"
        )
    graph = Encode(model.model) if part == "encoder" else Decode(model.model, model.kind)
    inputs, others = (_examples(model, part, count) for count in (TRACED, COMPARED))
    write = partial(_onnx, names=_names(model, part)) if form == "onnx" else _torch_export
    try:
        with torch.no_grad():
            any_size = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
            program = torch.export.export(graph, inputs, dynamic_shapes=any_size)
            path, run = write(program, inputs, folder / part)
            _compare(path, run(*others), graph(*others))
    except AelabError:
        raise
    except Exception as error:  # what tracing cannot follow ends in a dozen kinds
        reason = sentence(error)[:200]
        raise InapplicableError(
            f"the {part} of {model.run.settings.name!r} cannot be written as {form} ({reason}): choose "
            "another part, or format=safetensors"
        ) from error


def _torch_export(program: Any, inputs: tuple[Tensor, ...], stem: Path) -> Written:
    path = stem.with_suffix(".pt2")
    torch.export.save(program, path)
    return path, torch.export.load(path).module()


def _names(model: Trained, part: str) -> tuple[list[str], list[str]]:
    """What a part's inputs and outputs are called: the names of `Trained`'s own arguments."""
    conditioner = model.model.conditioner
    told = [] if conditioner is None or sees_observation(conditioner) else [conditioner.field]
    first, output = NAMES[part]
    return [first, *told], [output]


def _onnx(
    program: Any, inputs: tuple[Tensor, ...], stem: Path, names: tuple[list[str], list[str]]
) -> Written:
    _library("onnxscript")
    runtime = _library("onnxruntime")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that are not needed
    path = stem.with_suffix(".onnx")
    asked, outputs = names
    how: dict[str, Any] = {"dynamo": True, "verbose": False, "external_data": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates what it does itself
        torch.onnx.export(program, inputs, path, input_names=asked, output_names=outputs, **how)
    session = runtime.InferenceSession(path)

    def run(*values: Tensor) -> Tensor:
        given = {name: value.numpy() for name, value in zip(asked, values, strict=True)}
        return torch.from_numpy(session.run(outputs, given)[0])

    return path, run


def _batch(model: Autoencoder, x: Tensor, told: Tensor | None) -> Batch:
    return (
        Batch(x)
        if told is None or model.conditioner is None
        else Batch(x)._replace(**{model.conditioner.field: told})
    )


def _examples(model: Trained, part: str, count: int) -> tuple[Tensor, ...]:
    """Inputs of a part, at random but the same at each call."""
    random = torch.Generator().manual_seed(count)
    if part == "encoder":
        first = model.kind.example(count, model.shape, random)
    else:
        first = torch.rand(count, model.latent, generator=random)
    conditioner = model.model.conditioner
    if conditioner is None or sees_observation(conditioner):
        return (first,)
    return first, conditioner.examples(count, random)


def _compare(path: Path, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape or not torch.allclose(found, expected, rtol=EXACT, atol=EXACT):
        raise InapplicableError(
            f"{path.name} does not give what the model gives, to {EXACT:g}, and is not kept: choose another "
            "format"
        )


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise ConfigurationError(f"this format needs {package}: pip install {package}") from error
