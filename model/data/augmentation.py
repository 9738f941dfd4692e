"""Augmentation of training pictures on the device: geometry, colour, MixUp, CutMix and noise."""

from keras import layers, ops, random


def augmentation(strength: float, seed: int, colour: float | None = None) -> list:
    """Keras layers for pixels 0-255: flips, rotation by any angle, zoom, translation, colour.

    `strength`, 0 to 3, scales zoom and translation: 0 is no geometry, 1 the default. `colour`, at
    least 0, scales the colour jitter; by default it equals `strength`.
    """
    a, augmenting = strength, []
    if strength > 0:
        augmenting = [
            layers.RandomFlip("horizontal_and_vertical", seed=seed, dtype="float32"),
            layers.RandomRotation(0.5, fill_mode="reflect", seed=seed + 1, dtype="float32"),
            # Height and width separately, since preprocessing distorts pictures of other shapes.
            layers.RandomZoom(
                (-0.3 * a, 0.1 * a),
                (-0.3 * a, 0.1 * a),
                fill_mode="reflect",
                seed=seed + 2,
                dtype="float32",
            ),
            layers.RandomTranslation(
                0.08 * a, 0.08 * a, fill_mode="reflect", seed=seed + 3, dtype="float32"
            ),
        ]
    c = strength if colour is None else colour
    if c > 0:
        augmenting.append(
            layers.RandomColorJitter(
                brightness_factor=min(0.12 * c, 1.0),
                contrast_factor=min(0.2 * c, 0.9),
                saturation_factor=(0.5 - 0.1 * min(c, 5), 0.5 + 0.1 * min(c, 5)),
                hue_factor=min(0.02 * c, 1.0),
                seed=seed + 4,
                dtype="float32",
            )
        )
    return augmenting


class Mix(layers.Layer):
    """MixUp (Zhang et al., ICLR 2018) or CutMix (Yun et al., ICCV 2019) of a training batch.

    The mixing share is drawn from a Beta distribution with `alpha`. Keras' own layers do the work,
    but they need pictures and labels together, while the call of a model gets only the pictures.
    Two variables keep the partners and shares of the last call for `labels`.
    """

    def __init__(self, kind: str, alpha: float, batch: int, seed: int):
        super().__init__(dtype="float32", name="mix")
        self.batch = batch
        if kind == "mixup":
            self.mixing = layers.MixUp(alpha, seed=seed, dtype="float32")
        else:
            # Keras draws alpha from a range; in the paper it is fixed.
            self.mixing = layers.CutMix((alpha, alpha), seed=seed, dtype="float32")

    def build(self, shape):
        self.partner = self.add_weight(
            (self.batch,), "zeros", "int32", trainable=False, name="partner"
        )
        self.share = self.add_weight((self.batch,), "ones", trainable=False, name="share")

    def call(self, images, training=False):
        if not training:
            return images
        drawing = self.mixing.get_random_transformation(images, training=True)
        self.partner.assign(ops.cast(drawing["permutation_order"], "int32"))
        self.share.assign(ops.reshape(drawing["mix_weight"], (self.batch,)))
        return self.mixing.transform_images(images, drawing, training=True)

    def labels(self, one_hot):
        """The labels [batch, classes], mixed like the pictures of the last call."""
        drawing = {"permutation_order": self.partner, "mix_weight": self.share}
        return self.mixing.transform_labels(one_hot, drawing, training=True)

    def compute_output_shape(self, shape):
        return shape


class Noise(layers.Layer):
    """Adds Gaussian noise to half of the pictures of a training batch, float32 [n, h, w, 3] of
    0-255.

    Its standard deviation is drawn for each of these pictures, evenly from 0 to `deviation` levels.
    (Keras' GaussianNoise is equally strong for all.)
    """

    def __init__(self, deviation: float, seed: int):
        super().__init__(dtype="float32", name="noise")
        self.deviation, self.drawing = deviation, random.SeedGenerator(seed)

    def call(self, pictures, training=False):
        if not training:
            return pictures
        each = (ops.shape(pictures)[0], 1, 1, 1)
        strength = ops.maximum(random.uniform(each, -1, 1, seed=self.drawing), 0) * self.deviation
        noise = random.normal(ops.shape(pictures), seed=self.drawing)
        return ops.clip(pictures + strength * noise, 0, 255)
