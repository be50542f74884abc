"""Run folders made of hand, as small as a comparison reads them."""

import json
from pathlib import Path
from typing import Any

import yaml

SETTINGS = {
    "name": "vae_digits",
    "latent": 16,
    "threads": 1,
    "outputs": "/somewhere",
    "resume": None,
    "model": {"_target_": "aelab.models.autoencoder", "latent": 16, "prior": None},
    "data": {"_target_": "x", "name": "digits", "root": "/data", "shape": [1, 8, 8], "seed": 0},
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.001},
    "training": {"_target_": "x", "seed": 0},
    "start": {"run": None, "parts": [], "frozen": [], "sha256": None},
    "trainer": {"accelerator": "cpu", "max_epochs": 1},
}
ELBO = {"unit": "nats per image", "higher_is_better": True, "of_likelihood": True}
MSE = {"unit": "squared error per value", "higher_is_better": False, "of_likelihood": False}
NLL = {"unit": "nats per image", "higher_is_better": False, "of_likelihood": True}
RECORD = {
    "status": "finished",
    "quantities": {"test/elbo": ELBO, "test/mse": MSE},
    "data": {"name": "digits", "checksums": {"digits": "md5:1"}},
    "parameters": 1000,
    "steps": 10,
    "samples_seen": 1280,
    "flops_per_image": 6000,
    "seconds": 2.5,
    "hardware": {"cpu": "a chip", "gpus": []},
    "git": {"commit": "a" * 40, "dirty": False},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with changes, those within dictionaries too."""
    found = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = merged(found[key], value) if both else value
    return found


def make_run(
    path: Path, seed: int = 0, elbo: float = -100.0, settings: dict[str, Any] | None = None, **record: Any
) -> Path:
    """A finished run with test metrics; record and settings are merged into what is usual."""
    path.mkdir(parents=True)
    numbers = {"metrics": {"test/elbo": elbo, "test/mse": 0.01 + seed / 1000}}
    told = merged({**RECORD, "seed": seed, **numbers}, record)
    (path / "record.json").write_text(json.dumps(told))
    (path / "config.yaml").write_text(yaml.safe_dump(merged({**SETTINGS, "seed": seed}, settings or {})))
    return path
