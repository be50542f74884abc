"""Reconstruct a folder of pictures: `python scripts/reconstruct.py run=outputs/... images=FOLDER`."""

from omegaconf import DictConfig

from aelab.composition import command


@command("reconstruct")
def main(config: DictConfig) -> None:
    from aelab.runs.reconstruct import (
        main as reconstruct,  # torch only after the configuration has been composed
    )

    reconstruct(config)


if __name__ == "__main__":
    main()
