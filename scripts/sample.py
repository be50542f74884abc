"""Draw images from a trained model: `python scripts/sample.py run=outputs/... count=64`."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("sample")
def main(config: DictConfig) -> None:
    from aelab.cli.sample import main as sample  # torch only after the configuration has been composed

    sample(config)


if __name__ == "__main__":
    main()
