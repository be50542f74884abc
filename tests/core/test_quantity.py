import pytest

from aelab.core.quantity import Quantity


@pytest.mark.parametrize(
    ("unit", "said"), [("nats per observation", "nats per sentence"), ("bits per value", "bits per value")]
)
def test_an_observation_is_called_by_its_noun(unit, said):
    quantity = Quantity("elbo", unit, True, of_likelihood=True)
    assert quantity.per("sentence") == Quantity("elbo", said, True, of_likelihood=True)


def test_all_but_the_name_is_plain():
    facts = {"unit": "nats", "higher_is_better": None, "of_likelihood": False}
    assert Quantity("kl", "nats").facts() == facts
    assert Quantity("kl", **facts) == Quantity("kl", "nats")
