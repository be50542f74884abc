"""Compare trained runs: `python scripts/compare.py runs=outputs/...`; `--help` lists the choices."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("compare")
def main(config: DictConfig) -> None:
    from aelab.cli.compare import main as compare  # scipy only after the configuration has been composed

    compare(config)


if __name__ == "__main__":
    main()
