import pytest

from env.drift import check_autocorrelation
from env.dynamics.ornstein_uhlenbeck import decorrelation_ticks


@pytest.mark.parametrize(("rho", "ticks"), [(0.7, 20), (0.99, 688), (0.0, 0)])
def test_a_process_decorrelates_below_a_thousandth(rho, ticks):
    assert decorrelation_ticks(rho) == ticks
    assert rho**ticks < 1e-3 or ticks == 0


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan"), "0.5"])
def test_an_autocorrelation_out_of_range_is_rejected_with_its_name(value):
    with pytest.raises(ValueError, match="hue_autocorrelation must be"):
        check_autocorrelation("hue_autocorrelation", value)
