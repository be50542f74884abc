"""Encode images by a trained model: `python scripts/encode.py run=outputs/... to=codes.npz`."""

from omegaconf import DictConfig

from aelab.composition import command


@command("encode")
def main(config: DictConfig) -> None:
    from aelab.runs.encode import main as encode  # torch only after the configuration has been composed

    encode(config)


if __name__ == "__main__":
    main()
