"""The groups that pictures belong to, and how their figures compare."""

import numpy as np
import pytest

from model.evaluation.groups import groups_of
from model.folder import UserError
from model.groups import CAUGHT, SPARED, TOP, Gap, gap, ordered, pictures, share, too_few


def figure(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def group(n, suspicious, top=(0.5, 0.4, 0.6), caught=(0.9, 0.8, 1), spared=(0.7, 0.6, 0.8), **more):
    """A group of metrics.json with `suspicious` melanomas among its `n` pictures."""
    return {
        "n": n,
        "support": {"mel": suspicious, "nv": n - suspicious},
        "top_1": figure(*top),
        "melanoma": {"sensitivity": figure(0.5, 0.4, 0.6), "specificity": figure(0.5, 0.4, 0.6)},
        "suspicious": {
            "labels": ["mel"],
            "sensitivity": figure(*caught),
            "specificity": figure(*spared),
        },
    } | more


def test_the_known_columns_are_groups_if_they_tell_pictures_apart():
    metadata = {
        "age": np.array([31.0, 80.0, np.nan]),
        "sex": np.array(["male", "male", "male"]),
        "localization": np.array(["back", " lower  extremity", "unknown"]),
        "dx_type": np.array(["histo", "histo", "follow_up"]),
    }
    groups = groups_of(metadata)
    assert list(groups) == ["age", "localization"]
    assert groups["age"].tolist() == ["30-44", "75+", "unknown"]
    assert groups["localization"].tolist() == ["back", "lower extremity", "unknown"]
    asked = groups_of(metadata, ["dx_type", "sex"])
    assert set(asked) == {"age", "localization", "dx_type", "sex"}
    assert set(asked["sex"]) == {"male"}  # one group is an answer too, to who asks


@pytest.mark.parametrize("missing", [None, np.nan, "", "  ", "nan", "N/A", "UNK", "Unknown"])
def test_a_missing_value_is_unknown(missing):
    values = np.array(["a", missing, "b"], object)
    assert groups_of({"mine": values}, ["mine"])["mine"].tolist() == ["a", "unknown", "b"]
    with pytest.raises(UserError, match="none of the 2 pictures to measure has a value in column"):
        groups_of({"mine": np.array([missing, missing], object)}, ["mine"])


def test_few_numbers_are_groups_and_many_are_cut_at_their_quartiles():
    types = np.array(["3.0", 1, None, 6.0, "3"], object)
    assert groups_of({"f": types}, ["f"])["f"].tolist() == ["3", "1", "unknown", "6", "3"]
    many = np.array([*np.arange(-10.0, 30), None], object)
    bands = groups_of({"ita": many}, ["ita"])["ita"].tolist()
    assert bands[0] == "-10 to -1" and bands[39] == "20 to 29" and bands[40] == "unknown"
    assert [bands.count(band) for band in dict.fromkeys(bands)] == [10, 10, 10, 10, 1]
    assert groups_of({"x": np.array([True, False, True])}, ["x"])["x"].tolist()[0] == "True"


def test_a_column_that_names_each_picture_makes_no_groups():
    values = np.array([f"patient {i}" for i in range(51)])
    with pytest.raises(UserError, match="column 'patient' has 51 different values, and at most 50"):
        groups_of({"patient": values}, ["patient"])
    assert groups_of({"localization": values}) == {}  # nobody asked


def test_groups_are_in_the_order_that_readers_expect():
    def order(*names, **sizes):
        return list(ordered({name: {"n": sizes.get(name, 1)} for name in names}))

    assert order("unknown", "male", "female") == ["female", "male", "unknown"]
    assert order("10", "9", "unknown") == ["9", "10", "unknown"]
    assert order("75+", "0-29", "45-59") == ["0-29", "45-59", "75+"]
    assert order("5 to 9", "-10 to 4.5") == ["-10 to 4.5", "5 to 9"]
    assert order(*"abcdefgh", "unknown", "z", z=30, unknown=99, b=5)[:3] == ["z", "b", "a"]
    assert order(*"abcdefgh", "unknown", "z")[-1] == "unknown"


def test_a_share_is_of_the_pictures_of_its_kind():
    one = group(50, 8)
    assert [pictures(one, path) for path in (TOP, CAUGHT, SPARED)] == [50, 8, 42]
    assert pictures(one, ("melanoma", "sensitivity")) == 8


def test_an_interval_without_width_becomes_wilsons():
    # Of statsmodels.stats.proportion.proportion_confint(n, n, method="wilson") and (0, n).
    all_of_ten = share(group(20, 10, caught=(1.0, 1.0, 1.0)), CAUGHT)
    assert (all_of_ten["low"], all_of_ten["high"]) == (pytest.approx(0.722467, abs=2e-6), 1.0)
    none_of_ten = share(group(20, 10, spared=(0.0, 0.0, 0.0)), SPARED)
    assert (none_of_ten["low"], none_of_ten["high"]) == (0.0, pytest.approx(0.277533, abs=2e-6))
    # Two pictures of each lesion count as one.
    fewer = share(group(40, 20, caught=(1.0, 1.0, 1.0), lesions=20), CAUGHT)
    assert fewer == all_of_ten
    assert share(group(20, 10), TOP) == figure(0.5, 0.4, 0.6)
    assert share(group(20, 10, top=(0.5,)), TOP) == figure(0.5)
    assert share(group(20, 0, caught=(None,)), CAUGHT) is None
    assert share({"n": 3}, CAUGHT) is None


def test_the_largest_gap_leaves_out_small_groups_and_the_unknown():
    groups = {
        "a": group(50, 20, caught=(0.5, 0.3, 0.7)),
        "b": group(50, 20, caught=(0.9, 0.8, 1.0)),
        "c": group(50, 20, caught=(0.8, 0.7, 0.9)),
        "small": group(50, 9, caught=(0.0, 0.0, 0.0)),
        "none": group(50, 0, caught=(None,)),
        "unknown": group(50, 20, caught=(0.1, 0.0, 0.2)),
    }
    assert gap(groups, CAUGHT) == Gap("a", "b", 3, overlap=False)
    assert too_few(groups, CAUGHT) == {"none": 0, "small": 9}
    groups["a"]["suspicious"]["sensitivity"] = figure(0.5, 0.3, 0.8)
    assert gap(groups, CAUGHT).overlap
    assert gap({key: groups[key] for key in ("a", "small", "none", "unknown")}, CAUGHT) is None
    assert gap(groups, TOP).lowest == gap(groups, TOP).highest  # all the same
    for entry in groups.values():
        del entry["suspicious"]
    assert gap(groups, CAUGHT) is None and too_few(groups, CAUGHT) == {}


def test_ten_of_ten_is_not_beyond_nine_of_ten():
    """The bootstrap gives 10 of 10 an interval without width, which overlaps with hardly any."""
    groups = {
        "all": group(20, 10, caught=(1.0, 1.0, 1.0)),
        "most": group(20, 10, caught=(0.8, 0.5, 0.99)),
    }
    assert gap(groups, CAUGHT) == Gap("most", "all", 2, overlap=True)


def test_without_resamples_nothing_is_said_of_overlap():
    groups = {"a": group(20, 10, top=(0.5,)), "b": group(20, 10, top=(0.7,))}
    assert gap(groups, TOP) == Gap("a", "b", 2, overlap=None)
