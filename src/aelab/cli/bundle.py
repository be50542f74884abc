"""A run to be shared: what `aelab.load` needs, and a model card, laid out as the Hugging Face hub expects.

config.yaml, record.json  the run's, without its places, processes and machine
model.safetensors         the weights, beside their configuration
README.md, *.png          the card, and the run's own pictures
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from aelab import __version__
from aelab.config.identity import fingerprint
from aelab.config.recorded import CONFIG
from aelab.core.files import write_json
from aelab.core.quantity import ARROWS, short
from aelab.core.text import sizes
from aelab.runs.report import last_pictures
from aelab.runs.trained import Trained

TOLD = ("status", "seed", "data", "values", "parameters", "metrics", "quantities", "steps", "samples_seen")
CARD = """\
---
{front}---

# {name}

{what} trained by aelab {version}.

```python
import aelab  # with safetensors

model = aelab.load("path/of/this/folder")
{use}
```

## Metrics of the test split

{metrics}

## How it was made

- data: {data}
- training: {steps:,} steps, {seen:,} observations seen, seed {seed}
- parameters: {parameters:,}; a code has {latent} numbers
- configuration: `config.yaml`, fingerprint `{fingerprint}`
{pictures}"""


def portable(settings: DictConfig) -> DictConfig:
    """A run's configuration without places on the machine that trained it."""
    found: Any = OmegaConf.to_container(settings)
    found |= {"outputs": "outputs", "resume": None, "logger": {}}
    for node, key in (("data", "root"), ("start", "run")):
        if key in found.get(node, {}):
            found[node][key] = None
    return DictConfig(found)


def save_bundle(model: Trained, folder: Path, license: str | None) -> None:
    """Everything of a bundle but its weights, into `folder`. license: as the hub names it, or None."""
    record, settings = model.run.folder.read(), portable(model.run.settings)
    told = {key: record[key] for key in TOLD if key in record} | {"fingerprint": fingerprint(settings)}
    commit = record.get("git", {}).get("commit") if isinstance(record.get("git"), Mapping) else None
    write_json(folder / "record.json", {**told, "git": {"commit": commit}})
    (folder / CONFIG).write_text(OmegaConf.to_yaml(settings), encoding="utf-8")
    pictures = last_pictures(model.run.folder)
    for picture in pictures:
        shutil.copy(picture, folder / picture.name)
    (folder / "README.md").write_text(_card(model, told, settings, pictures, license), encoding="utf-8")


def _card(
    model: Trained, record: Mapping[str, Any], settings: DictConfig, pictures: list[Path], license: str | None
) -> str:
    data = record.get("data", {})
    counts = ", ".join(f"{count:,} {split}" for split, count in data.get("observations", {}).items())
    return CARD.format(
        front=yaml.safe_dump(_front(record, settings, license), sort_keys=False, allow_unicode=True),
        name=settings.name,
        what=f"`{settings.name}`, an autoencoder of {model.kind.nouns} of {sizes(model.shape)},",
        version=__version__,
        use="images = model.sample(16)" if model.model.prior is not None else "codes = model.encode(x)",
        metrics="\n".join(_table(record)),
        data=f"{data.get('name')} ({counts} {model.kind.nouns})",
        steps=record.get("steps", 0),
        seen=record.get("samples_seen", 0),
        seed=record.get("seed"),
        parameters=record.get("parameters", 0),
        latent=model.latent,
        fingerprint=record["fingerprint"],
        pictures="".join(f"\n![{picture.stem}]({picture.name})\n" for picture in pictures),
    )


def _front(record: Mapping[str, Any], settings: DictConfig, license: str | None) -> dict[str, Any]:
    """What the hub reads of a card."""
    data = str(record.get("data", {}).get("name"))
    results = [
        {"type": name.removeprefix("test/"), "value": value, "name": name}
        for name, value in record.get("metrics", {}).items()
        if value is not None
    ]
    index = {
        "name": settings.name,
        "results": [
            {
                "task": {"type": "feature-extraction"},
                "dataset": {"name": data, "type": data},
                "metrics": results,
            }
        ],
    }
    tags = ["aelab", "autoencoder", *(tag for tag in settings.get("tags") or () if " " not in tag)]
    return {
        **({} if license is None else {"license": license}),
        "library_name": "aelab",
        "tags": tags,
        "datasets": [data],
        **({"model-index": [index]} if results else {}),
    }


def _table(record: Mapping[str, Any]) -> Iterator[str]:
    metrics, quantities = record.get("metrics", {}), record.get("quantities", {})
    if not metrics:
        yield "None were measured."
        return
    yield "| metric | value | unit |\n|---|---|---|"
    for name, value in metrics.items():
        facts = quantities.get(name, {})
        arrow = ARROWS[facts.get("higher_is_better")]
        shown = "undefined" if value is None else f"{value:.5g}"
        yield f"| {name.removeprefix('test/')}{arrow} | {shown} | {short(facts.get('unit', ''))} |"
