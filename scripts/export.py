"""Export a trained model: `python scripts/export.py run=outputs/... format=onnx`."""

from omegaconf import DictConfig

from aelab.composition import command


@command("export")
def main(config: DictConfig) -> None:
    from aelab.runs.export import main as export  # torch only after the configuration has been composed

    export(config)


if __name__ == "__main__":
    main()
