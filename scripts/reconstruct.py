"""Reconstruct a folder of pictures: `python scripts/reconstruct.py run=outputs/... images=FOLDER`."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("reconstruct")
def main(config: DictConfig) -> None:
    from aelab.cli.reconstruct import main as reconstruct

    reconstruct(config)


if __name__ == "__main__":
    main()
