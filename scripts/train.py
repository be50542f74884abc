"""Train one autoencoder: `python scripts/train.py variant=vae data=mnist`; `--help` lists the choices."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("train")
def main(config: DictConfig) -> None:
    from aelab.cli.train import main as train  # torch only after the configuration has been composed

    train(config)


if __name__ == "__main__":
    main()
