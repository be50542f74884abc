"""Explore a trained run in the browser: `python scripts/explore.py run=outputs/...`; see `--help`."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("explore")
def main(config: DictConfig) -> None:
    from aelab.cli.explore import main as explore  # torch only after the configuration has been composed

    explore(config)


if __name__ == "__main__":
    main()
