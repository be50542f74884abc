import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from aelab.core.errors import ConfigurationError
from aelab.data.sources.tables import Table


@pytest.mark.parametrize("table", [load_iris, load_wine, load_breast_cancer])
def test_every_row_of_a_table_is_in_one_split_with_its_class(table):
    splits, (x, y) = Table(table, test=0.2).load(), table(return_X_y=True)
    joined = torch.cat([splits.train.x, splits.test.x]), torch.cat([splits.train.y, splits.test.y])
    found = sorted(zip(joined[0].tolist(), joined[1].tolist(), strict=True))
    assert found == sorted(zip(torch.from_numpy(x).float().tolist(), y.tolist(), strict=True))
    assert len(splits.test) == round(0.2 * len(x))


def test_the_split_is_one_for_good_and_holds_every_class():
    first, second = (Table(load_wine).load() for _ in range(2))
    assert torch.equal(first.test.x, second.test.x)
    assert first.checksums == second.checksums
    assert first.test.y.unique().tolist() == [0, 1, 2]
    with pytest.raises(ConfigurationError, match=r"data.source.test=1.5 of 178 rows"):
        Table(load_wine, test=1.5).load()
