"""Evaluate a trained run: `python scripts/evaluate.py run=outputs/...`; `--help` lists the choices."""

from omegaconf import DictConfig

from aelab.config.compose import command


@command("evaluate")
def main(config: DictConfig) -> None:
    from aelab.evaluation.evaluate import (
        main as evaluate,  # torch only after the configuration has been composed
    )

    evaluate(config)


if __name__ == "__main__":
    main()
