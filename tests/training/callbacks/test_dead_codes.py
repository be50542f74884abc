"""The warning of a codebook that is little used."""

from types import SimpleNamespace

import pytest
import torch

from aelab.training.callbacks.dead_codes import DeadCodes


@pytest.mark.parametrize(
    ("codes", "used", "said"), [(8, [2, 3, 7, 1], [True, False, False, True]), (None, [1], [False])]
)
def test_it_warns_once_until_it_is_mended(capsys, codes, used, said):
    callback = DeadCodes()
    module = SimpleNamespace(model=SimpleNamespace(codes=codes, units=8, posterior=None))
    for count, expected in zip(used, said, strict=True):
        metrics = {"val/active_units": torch.tensor(float(count))}
        trainer = SimpleNamespace(
            callback_metrics=metrics, sanity_checking=False, is_global_zero=True, loggers=[], global_step=1
        )
        callback.on_validation_end(trainer, module)
        assert ("8 codebook entries are not in use" in capsys.readouterr().err) == expected
