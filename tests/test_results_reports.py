"""What the reports share: the signs of differences."""

from results import reports as r


def test_differences_have_a_sign_and_no_minus_zero():
    def cell(value, low=None, high=None):
        return r.signed({"value": value, "low": low, "high": high}, 100, 1)

    assert cell(0.0123, -0.01, 0.034) == "+1.2 (−1.0 to +3.4)"
    assert cell(-0.0001) == "+0.0" and cell(None) == "–"
