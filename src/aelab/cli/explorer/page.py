"""The page: sliders, uploads, interpolations and samples, for one run or two side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from aelab.cli.explorer.explorer import Choice, Explorer
from aelab.core.errors import AelabError

SLIDERS, STEPS, SAMPLES = 12, 11, 32
QUIET: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
LARGE = 4  # times as large as in a grid is the observation that the sliders change


def page(explorers: Sequence[Explorer]) -> gr.Blocks:
    """Gradio's blocks for one or more models of the same data: all answer to the same choices."""
    with gr.Blocks(
        title=" | ".join(explorer.subject.name for explorer in explorers),
        analytics_enabled=False,
        delete_cache=(3600, 3600),
    ) as blocks:
        with gr.Tab("Codes"):
            chosen = _choice(explorers, explorers[0].trained.kind.noun)
            with gr.Row():
                for explorer in explorers:
                    with gr.Column():
                        _codes(blocks, explorer, chosen)
        with gr.Tab("Interpolate"):
            with gr.Row():
                start, end = _choice(explorers, "from"), _choice(explorers, "to", default=1)
            arc = gr.Checkbox(False, label="on the arc (spherical) instead of the line")
            for explorer in explorers:
                if explorer.real:
                    _shown(blocks, explorer, [*start, *end, arc], _interpolation)
                else:
                    gr.Markdown("Codes are no real vectors, between which there would be a way.")
        with gr.Tab("Sample"):
            seed = gr.Number(0, label="seed", precision=0, minimum=0)
            told = [explorer for explorer in explorers if explorer.subject.model.conditioner]
            given = _choice(told, "condition") if told else [gr.State(0), gr.State(None), gr.State(None)]
            with gr.Row():
                for explorer in explorers:
                    if explorer.subject.model.prior is None:
                        gr.Markdown("The model has no prior to sample from.")
                    else:
                        _shown(blocks, explorer, [*given, seed], _samples)
    return blocks


def _choice(explorers: Sequence[Explorer], name: str, default: int = 0) -> list[Any]:
    """What a `Choice` is made of: the place in the test split, an upload, a label."""
    with gr.Column():
        last = explorers[0].examples - 1
        place = gr.Slider(0, last, min(default, last), step=1, label=f"{name}: in the test split")
        upload = gr.File(
            label=f"{name}: or an upload", height=120, file_types=sorted(explorers[0].trained.kind.suffixes)
        )
        label: Any = gr.State(None)
        if any(explorer.subject.label_conditional for explorer in explorers):
            names = explorers[0].subject.data.class_names
            labels = [("its own", -1), *((name, label) for label, name in enumerate(names))]
            label = gr.Dropdown(labels, value=-1, label=f"{name}: label that the model is told")
    return [place, upload, label]


def _codes(blocks: gr.Blocks, explorer: Explorer, chosen: list[Any]) -> None:
    """Input and output of one model, and a slider for each dimension of the code that tells most."""
    units = explorer.sliders(SLIDERS)
    picture = gr.Image(label=explorer.subject.name, height=240, interactive=False, buttons=[])
    code = gr.State()
    if not units:
        gr.Markdown("Codes are no real vectors, in which a dimension could be moved.")
    sliders = []
    for unit in units:
        low, high = explorer.reach(unit)
        label = f"z{unit}: {explorer.information[unit]:.2f} {explorer.unit}"
        sliders.append(gr.Slider(low, high, 0.0, step=0.01, precision=2, label=label))

    def encode(*values: Any) -> tuple[Any, ...]:
        choice = _chosen(values)
        z = _told(explorer.code, choice)
        return z, _beside(explorer, choice, z), *(float(z[unit]) for unit in units)

    def move(z: Tensor | None, *values: Any) -> tuple[Tensor, Image.Image]:
        choice = _chosen(values[:3])
        moved = (_told(explorer.code, choice) if z is None else z).clone()
        for unit, value in zip(units, values[3:], strict=True):
            moved[unit] = value
        return moved, _beside(explorer, choice, moved)

    gr.on(_changes(blocks, chosen), encode, chosen, [code, picture, *sliders], **QUIET)
    if sliders:
        moves = [slider.input for slider in sliders]
        gr.on(moves, move, [code, *chosen, *sliders], [code, picture], **QUIET)


def _shown(
    blocks: gr.Blocks, explorer: Explorer, inputs: list[Any], draw: Callable[..., Image.Image]
) -> None:
    """A picture of one model that follows its inputs."""
    picture = gr.Image(label=explorer.subject.name, interactive=False, buttons=[])

    def drawn(*values: Any) -> Image.Image:
        return _told(draw, explorer, *values)

    gr.on(_changes(blocks, inputs), drawn, inputs, picture, **QUIET)


def _interpolation(explorer: Explorer, *values: Any) -> Image.Image:
    return explorer.interpolation(_chosen(values[:3]), _chosen(values[3:6]), STEPS, bool(values[6]))


def _samples(explorer: Explorer, *values: Any) -> Image.Image:
    return explorer.samples(SAMPLES, _chosen(values[:3]), int(values[3] or 0))


def _changes(blocks: gr.Blocks, inputs: Sequence[Any]) -> list[Any]:
    """The events after which something is drawn anew: the page's loading, and every change of an input."""
    return [blocks.load, *(part.change for part in inputs if not isinstance(part, gr.State))]


def _chosen(values: Sequence[Any]) -> Choice:
    place, upload, label = values
    return Choice(int(place or 0), upload, None if label is None or label < 0 else int(label))


def _beside(explorer: Explorer, choice: Choice, z: Tensor) -> Image.Image:
    """The input and what the decoder makes of a code, enlarged."""
    picture = explorer.beside(choice, z)
    return picture.resize((picture.width * LARGE, picture.height * LARGE), Image.Resampling.NEAREST)


def _told(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a user can mend is said on the page, in its own words."""
    try:
        return call(*arguments)
    except AelabError as error:
        raise gr.Error(str(error), print_exception=False) from error
