"""The page: sliders, interpolations, samples and the jobs, for one run or two side by side."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from aelab.cli.explorer.explorer import Explorer
from aelab.cli.explorer.parts import QUIET, changes, choice, chosen_of, player, shown, told
from aelab.cli.explorer.shelf import Shelf
from aelab.cli.explorer.work import work

SLIDERS, STEPS, SAMPLES = 12, 11, 32
LOOK = """
.sticky { position: sticky; top: .75rem; align-self: flex-start; z-index: 2; }
.sliders .form { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
.sliders .block { padding: .3rem .6rem; }
.shown img { background: #fff; border-radius: 6px; }
"""


def page(shelf: Shelf) -> gr.Blocks:
    """Gradio's blocks for models of the same data: one column, or two where there are several runs."""
    first = shelf.first
    with gr.Blocks(
        title=" | ".join(shelf.names[:2]), analytics_enabled=False, delete_cache=(3600, 3600)
    ) as blocks:
        gr.Markdown(
            f"# {first.subject.data.name}\n{len(shelf.names)} trained run{'s' * (len(shelf.names) > 1)}"
        )
        with gr.Row():
            names = [_picker(shelf, place) for place in range(min(2, len(shelf.names)))]
        with gr.Tab("Codes"):
            gr.Markdown(
                "### An observation, its code, and what comes back\nThe dimensions that tell most come first."
            )
            chosen = choice(shelf)
            with gr.Row():
                for name in names:
                    with gr.Column():
                        _codes(blocks, shelf, name, chosen)
        with gr.Tab("Interpolate"):
            gr.Markdown("### From one observation to another")
            with gr.Row():
                start, end = choice(shelf, "from"), choice(shelf, "to", default=1)
            arc = gr.Checkbox(False, label="on the arc (spherical) instead of the line")
            _shown(blocks, shelf, names, [*start, *end, arc], _interpolation)
        with gr.Tab("Sample"):
            gr.Markdown("### New observations, from the prior")
            seed = gr.Number(0, label="seed", precision=0, minimum=0)
            given = choice(shelf, "condition") if first.subject.model.conditioner else _nothing()
            _shown(blocks, shelf, names, [*given, seed], _samples)
        work(shelf, names)
    return blocks


def _picker(shelf: Shelf, place: int) -> Any:
    """The name of the run of a column."""
    if len(shelf.names) <= 2:
        return gr.State(shelf.names[place])
    return gr.Dropdown(list(shelf.names), value=shelf.names[place], label=f"run {place + 1}")


def _nothing() -> list[Any]:
    return [gr.State(0), gr.State(None), gr.State(None)]


def _codes(blocks: gr.Blocks, shelf: Shelf, name: Any, chosen: list[Any]) -> None:
    """Input and output of one model beside sliders for its code, so many dimensions at a time."""
    with gr.Row():
        with gr.Column(min_width=260, elem_classes="sticky"):
            title = gr.Markdown()
            picture = gr.Image(
                show_label=False, interactive=False, buttons=[], container=False, elem_classes="shown"
            )
            players = player(shelf)
            reset = gr.Button("Back to the code of the input", size="sm")
            part = gr.Dropdown([("1", 0)], value=0, label="dimensions", visible=False)
        with gr.Column(min_width=280, elem_classes="sliders"):
            sliders = [
                gr.Slider(-1, 1, 0, step=0.01, precision=2, visible=False, buttons=[]) for _ in range(SLIDERS)
            ]
    code = gr.State()

    def encode(name: str, page: int, *values: Any) -> tuple[Any, ...]:
        explorer, given = shelf[name], chosen_of(values)
        z = told(explorer.code, given)
        count = -(-len(explorer.sliders) // SLIDERS)
        ranks = [(_ranks(explorer, k), k) for k in range(count)]
        page = min(page or 0, max(0, count - 1))
        parts = gr.Dropdown(ranks or [("none", 0)], value=page, visible=count > 1)
        return (
            f"#### {name}",
            z,
            *shown(explorer.beside(given, z), players),
            parts,
            *_moved(explorer, page, z),
        )

    def turn(name: str, page: int, z: Tensor) -> list[Any]:
        return _moved(shelf[name], page, z)

    def move(name: str, page: int, z: Tensor, *values: Any) -> list[Any]:
        explorer, given, moved = shelf[name], chosen_of(values[:3]), z.clone()
        units = _units(explorer, page)
        for unit, value in zip(units, values[3:], strict=False):
            moved[unit] = value
        return [moved, *shown(explorer.beside(given, moved), players)]

    inputs = [name, part, *chosen]
    events = [*changes(blocks, [name, *chosen]), reset.click]
    gr.on(events, encode, inputs, [title, code, picture, *players, part, *sliders], **QUIET)
    part.input(turn, [name, part, code], sliders, **QUIET)
    moves = [slider.input for slider in sliders]
    gr.on(moves, move, [name, part, code, *chosen, *sliders], [code, picture, *players], **QUIET)


def _units(explorer: Explorer, page: int) -> list[int]:
    return explorer.sliders[page * SLIDERS : (page + 1) * SLIDERS]


def _ranks(explorer: Explorer, page: int) -> str:
    first = page * SLIDERS + 1
    return f"{first} to {first + len(_units(explorer, page)) - 1} of {len(explorer.sliders)}"


def _moved(explorer: Explorer, page: int, z: Tensor) -> list[Any]:
    """The sliders of a part of the dimensions, where a code has them."""
    found, shown = explorer.subject.dimensions, []
    for unit in _units(explorer, page):
        low, high = explorer.reach(unit)
        value, label = float(z[unit]), f"z{unit}  {found.told[unit]:.2f} {found.unit}"
        shown.append(gr.Slider(min(low, value), max(high, value), value, label=label, visible=True))
    return shown + [gr.Slider(visible=False)] * (SLIDERS - len(shown))


def _shown(
    blocks: gr.Blocks, shelf: Shelf, names: list[Any], inputs: list[Any], draw: Callable[..., Image.Image]
) -> None:
    """A picture of each model that follows its inputs."""

    def drawn(name: str, *values: Any) -> Any:
        found = shown(told(draw, shelf[name], *values), players)
        return found if players else found[0]

    with gr.Row():
        for name in names:
            picture = gr.Image(show_label=False, interactive=False, buttons=[], elem_classes="shown")
            players = player(shelf)
            gr.on(changes(blocks, [name, *inputs]), drawn, [name, *inputs], [picture, *players], **QUIET)


def _interpolation(explorer: Explorer, *values: Any) -> Image.Image:
    return explorer.interpolation(chosen_of(values[:3]), chosen_of(values[3:6]), STEPS, bool(values[6]))


def _samples(explorer: Explorer, *values: Any) -> Image.Image:
    return explorer.samples(SAMPLES, chosen_of(values[:3]), int(values[3] or 0))
