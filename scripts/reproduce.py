"""Train a recorded run again and compare: `python scripts/reproduce.py run=outputs/...`; see `--help`."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("reproduce")
def main(config: DictConfig) -> None:
    from aelab.reproduction.reproduce import (
        main as reproduce,  # torch only after the configuration has been composed
    )

    reproduce(config)


if __name__ == "__main__":
    main()
