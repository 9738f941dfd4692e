import numpy as np
import pytest

from model.data import artefacts as a

SIZES = ((48, 64), (224, 299))


def flat(h, w, value=160):
    return np.full((h, w, 3), value, np.uint8)


def noise(h, w):
    return np.random.default_rng(9).integers(0, 256, (h, w, 3), np.uint8)


def many(kind, n=60, size=(224, 299), value=160):
    """Flat pictures with one artefact each, int [n, h, w, 3]."""
    return np.stack(
        [a.draw(flat(*size, value), kind, np.random.default_rng(seed)) for seed in range(n)]
    ).astype(int)


def changed(pictures, by=20, value=160):
    """Where a picture differs from the flat one by more than `by` in some channel, [n, h, w]."""
    return np.abs(pictures - value).max(axis=-1) > by


def middle(pictures, share):
    """The central part of [n, h, w, ...], `share` of the height and of the width."""
    h, w = pictures.shape[1:3]
    top, left = round(h * (1 - share) / 2), round(w * (1 - share) / 2)
    return pictures[:, top : h - top, left : w - left]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", a.KINDS)
def test_a_new_picture_of_the_same_kind_comes_out_and_the_seed_decides(kind, size):
    picture = noise(*size)
    kept = picture.copy()
    picture.flags.writeable = False
    made = a.draw(picture, kind, np.random.default_rng(1))
    assert made.shape == (*size, 3) and made.dtype == np.uint8 and made.flags.writeable
    np.testing.assert_array_equal(picture, kept)
    assert (made != picture).any()
    np.testing.assert_array_equal(made, a.draw(picture, kind, np.random.default_rng(1)))
    assert (made != a.draw(picture, kind, np.random.default_rng(2))).any()


@pytest.mark.parametrize("kind", a.KINDS)
def test_a_small_picture_shows_the_same_as_a_large_one(kind):
    small = many(kind, 20, (48, 64)).mean(axis=3) - 160
    large = many(kind, 20, (192, 256)).mean(axis=3) - 160
    large = large.reshape(20, 48, 4, 64, 4).mean(axis=(2, 4))
    # The grain of ink is finer than the pixels of the small one.
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > (0.85 if kind == "ink" else 0.97)


def test_circle_is_dark_outside_and_leaves_the_middle():
    pictures = many("circle")
    dark = (pictures < 60).all(axis=3).mean(axis=(1, 2))
    assert 0.015 < dark.min() < 0.08 and 0.3 < dark.max() < 0.42
    black = (pictures[:, [0, 0, -1, -1], [0, -1, 0, -1]] <= 25).all(axis=2).sum(axis=1)
    assert black.min() >= 1 and (black == 4).mean() > 0.8
    assert (middle(pictures, 0.25) == 160).all()
    assert pictures.max() == 160
    # The edge is soft but narrow; in some pictures the light falls off before it, in some not.
    between = ((pictures > 30) & (pictures < 160)).all(axis=3).mean(axis=(1, 2))
    assert 0.001 < between.min() < 0.02 and between.max() > 0.1


def test_ruler_is_a_row_of_ticks_near_one_edge():
    pictures = many("ruler")
    assert (middle(pictures, 0.5) == 160).all()
    seen = changed(pictures)
    ticks = [
        max((np.diff(s.astype(int), axis=k) == 1).sum(axis=k).max() for k in (0, 1)) for s in seen
    ]
    assert min(ticks) >= 5 and np.median(ticks) > 12
    # Top, bottom, left, right: where most of it lies.
    sides = [seen[:, :56], seen[:, -56:], seen[:, :, :75], seen[:, :, -75:]]
    edges = np.argmax([s.sum(axis=(1, 2)) for s in sides], axis=0)
    assert min(np.bincount(edges, minlength=4)) >= 6
    darker = np.array([p[s].mean() < 160 for p, s in zip(pictures, seen)])
    assert 0.5 < darker.mean() < 0.9


def test_ink_takes_light_of_the_margins_and_most_of_the_red():
    pictures = many("ink")
    assert (middle(pictures, 0.4) == 160).all()
    assert pictures.max() == 160
    assert 0.005 < changed(pictures).mean() < 0.1
    red, green, blue = np.moveaxis(160 - pictures[changed(pictures)], 1, 0)
    assert (red > np.minimum(green, blue)).all() and red.mean() > 40
    # Multiplied: the darker the skin, the less it can lose.
    lost = 80 - many("ink", value=80)
    assert np.abs(2 * lost - (160 - pictures)).max() <= 2


def test_hair_is_thin_and_of_a_small_share():
    pictures = many("hair")
    seen = changed(pictures)
    share = seen.mean(axis=(1, 2))
    assert 0.0003 < share.min() and 0.005 < np.median(share) < 0.03 and share.max() < 0.2
    # Squares of 5 x 5 pixels find room where hairs cross, at most.
    squares = np.lib.stride_tricks.sliding_window_view(seen, (5, 5), axis=(1, 2)).all(axis=(3, 4))
    assert (squares.mean(axis=(1, 2)) < 0.01 * share).all()
    # Antialiased: of what is changed at all, much is changed by little.
    assert 0.2 < (changed(pictures, 2) & ~changed(pictures, 60)).sum() / changed(pictures, 2).sum()
    darker = pictures.mean(axis=(1, 2, 3)) < 160
    assert 0.8 < darker.mean()


def test_light_is_a_smooth_field_within_bounds():
    pictures = many("light", value=128)
    assert max(np.abs(np.diff(pictures, axis=k)).max() for k in (1, 2)) <= 2
    assert pictures.std(axis=(1, 2)).min() > 3
    field = pictures / 128
    assert 0.47 < field.min() < 0.6 and 1.2 < field.max() < 1.31
    tinted = np.ptp(field.mean(axis=(1, 2)), axis=1) > 0.005
    assert 0.3 < tinted.mean() < 0.7
    # White cannot get brighter, nor turn over to black.
    assert many("light", value=250).min() > 250 * 0.47


def test_share_none_and_all():
    pictures = np.stack([noise(48, 64)] * 12)
    none = a.add_artefacts(pictures, a.KINDS, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(none, pictures)
    assert not np.shares_memory(none, pictures)
    for kind in a.KINDS:
        every = a.add_artefacts(pictures, [kind], 1, np.random.default_rng(0))
        assert every.shape == pictures.shape and every.dtype == np.uint8
        assert (every != pictures).any(axis=(1, 2, 3)).all()
    with pytest.raises(ValueError):
        a.add_artefacts(pictures, ["glare"], 0, np.random.default_rng(0))


def test_kinds_are_drawn_apart_from_each_other():
    # A circle shows in the corners alone, light in the middle too.
    pictures = np.stack([flat(48, 64)] * 400)
    made = a.add_artefacts(pictures, ["light", "circle"], 0.5, np.random.default_rng(0))
    circle = (made[:, [0, 0, -1, -1], [0, -1, 0, -1]] <= 25).all(axis=2).any(axis=1)
    light = (middle(made, 0.2) != 160).any(axis=(1, 2, 3))
    counts = [(circle == c)[light == d].sum() for c in (0, 1) for d in (0, 1)]
    assert sum(counts) == 400 and min(counts) > 75 and max(counts) < 125


def test_kinds_are_drawn_from_the_skin_up_whatever_their_order():
    pictures = np.stack([noise(48, 64)] * 3)
    made = a.add_artefacts(pictures, a.KINDS, 1, np.random.default_rng(5))
    shuffled = a.add_artefacts(
        pictures, ["ink", "circle", "light", "ruler", "hair"], 1, np.random.default_rng(5)
    )
    np.testing.assert_array_equal(made, shuffled)
    rng, expected = np.random.default_rng(5), pictures[0]
    for kind in ("light", "hair", "ink", "ruler", "circle"):
        rng.random()
        expected = a.draw(expected, kind, rng)
    np.testing.assert_array_equal(made[0], expected)


def test_a_read_only_memmap_is_left_as_it_is(tmp_path):
    pictures = np.stack([noise(48, 64)] * 4)
    np.save(tmp_path / "pictures.npy", pictures)
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    made = a.add_artefacts(mapped[1:], a.KINDS, 1, np.random.default_rng(0))
    made[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "pictures.npy"), pictures)
    assert not isinstance(made, np.memmap)
