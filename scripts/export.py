"""Export a trained model: `python scripts/export.py run=outputs/... format=onnx`."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("export")
def main(config: DictConfig) -> None:
    from aelab.cli.export import main as export  # torch only after the configuration has been composed

    export(config)


if __name__ == "__main__":
    main()
