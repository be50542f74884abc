"""The environments of two trainings, their differences, and which of these can change the bits."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aelab.core.text import printable

COMPUTING = frozenset(
    {
        "hydra-core", "numpy", "omegaconf", "pillow", "pyarrow", "pytorch-lightning", "scikit-learn", "torch",
        "torchmetrics", "triton", "zuko",
    }
)  # fmt: skip
"""The packages whose code makes a run's data or numbers; others only write, draw or test."""

ACCELERATOR = re.compile(r"(nvidia|rocm|intel)-")
"""The packages of an accelerator's mathematics, as torch installs them."""

NONE = "none"  # how an absent version, or no accelerator, is shown


@dataclass(frozen=True)
class Environment:
    """The conditions of a training's bits besides code and configuration; None where one is not known.

    packages: versions by name. hardware: as the record has it. threads: of torch on the CPU.
    checksums: of the data's files, by name. matmul: torch's setting for products in float32.
    """

    packages: Mapping[str, Any]
    hardware: Mapping[str, Any]
    threads: int
    checksums: Mapping[str, Any] | None = None
    matmul: str | None = None


@dataclass(frozen=True)
class Difference:
    """One difference of two environments; matters: whether it can change the bits."""

    what: str
    recorded: str
    here: str
    matters: bool


def differences(recorded: Environment, here: Environment) -> list[Difference]:
    """All differences, those that matter first; what one side does not know is left out."""
    found = [
        *_packages(recorded.packages, here.packages),
        *_hardware(recorded.hardware, here.hardware),
        *_compared("threads", recorded.threads, here.threads, matters=True),
        *_checksums(recorded.checksums, here.checksums),
    ]
    if recorded.matmul is not None and here.matmul is not None:
        found += _compared("float32_matmul_precision", recorded.matmul, here.matmul, matters=True)
    return sorted(found, key=lambda difference: not difference.matters)


def _packages(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Difference]:
    versions = [{_normal(name): version for name, version in side.items()} for side in (recorded, here)]
    for name in sorted(versions[0].keys() | versions[1].keys()):
        # The project's own code is identified by its commit.
        if name != "aelab":
            matters = name in COMPUTING or bool(ACCELERATOR.match(name))
            yield from _compared(name, versions[0].get(name), versions[1].get(name), matters)


def _normal(name: str) -> str:
    """A distribution's name as indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _hardware(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Difference]:
    systems = [_system(str(side.get("platform"))) for side in (recorded, here)]
    yield from _compared("platform", recorded.get("platform"), here.get("platform"), systems[0] != systems[1])
    pythons = [str(side.get("python")).split(".")[:2] for side in (recorded, here)]
    yield from _compared("python", recorded.get("python"), here.get("python"), pythons[0] != pythons[1])
    for name in ("cpu", "gpus", "cuda"):
        yield from _compared(name, recorded.get(name), here.get(name), matters=True)
    for name in ("cpu_count", "memory"):
        yield from _compared(name, recorded.get(name), here.get(name), matters=False)


def _system(platform: str) -> tuple[str, str]:
    """The operating system and the architecture: another kernel of the same computes alike."""
    architecture = re.search(r"x86_64|amd64|aarch64|arm64", platform, re.IGNORECASE)
    return platform.partition("-")[0], architecture.group(0).lower() if architecture else ""


def _checksums(recorded: Mapping[str, Any] | None, here: Mapping[str, Any] | None) -> Iterator[Difference]:
    if recorded is None or here is None:
        return
    for name in sorted(recorded.keys() | here.keys()):
        yield from _compared(f"data: {name}", recorded.get(name), here.get(name), matters=True)


def _compared(what: str, recorded: Any, here: Any, matters: bool) -> Iterator[Difference]:
    if recorded != here:
        yield Difference(printable(what), _shown(recorded), _shown(here), matters)


def _shown(value: Any) -> str:
    return NONE if value in (None, [], {}) else printable(value)
