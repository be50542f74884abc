"""Encode images by a trained model: `python scripts/encode.py run=outputs/... to=codes.npz`."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("encode")
def main(config: DictConfig) -> None:
    from aelab.cli.encode import main as encode  # torch only after the configuration has been composed

    encode(config)


if __name__ == "__main__":
    main()
