"""Augmentation of training pictures on the device: geometry, colour, MixUp and CutMix."""

from keras import layers, ops


def augmentation(strength: float, seed: int, colour: float | None = None) -> list:
    """Keras layers for pixels 0-255: flips, rotation by any angle, zoom, translation, colour.

    `strength` scales zoom and translation: 0 is no geometry, 1 the default. `colour` scales the
    colour jitter; by default it equals `strength`.
    """
    a, made = strength, []
    if strength > 0:
        made = [
            layers.RandomFlip("horizontal_and_vertical", seed=seed, dtype="float32"),
            layers.RandomRotation(0.5, fill_mode="reflect", seed=seed + 1, dtype="float32"),
            # Height and width separately: pictures of other shapes are squeezed to the input size.
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
        made.append(
            layers.RandomColorJitter(
                brightness_factor=min(0.12 * c, 1.0),
                contrast_factor=min(0.2 * c, 0.9),
                saturation_factor=(0.5 - 0.1 * min(c, 5), 0.5 + 0.1 * min(c, 5)),
                hue_factor=min(0.02 * c, 1.0),
                seed=seed + 4,
                dtype="float32",
            )
        )
    return made


class Mix(layers.Layer):
    """MixUp (Zhang et al., ICLR 2018) or CutMix (Yun et al., ICCV 2019) of a training batch.

    The mixing share is drawn from a Beta distribution with `alpha`. Keras' own layers do the work,
    but they need pictures and labels together, and a model's call gets only the pictures. So the
    partners and shares of the last call are kept in two variables, for `labels`.
    """

    def __init__(self, kind: str, alpha: float, batch: int, seed: int):
        super().__init__(dtype="float32", name="mix")
        self.batch = batch
        if kind == "mixup":
            self.mixing = layers.MixUp(alpha, seed=seed, dtype="float32")
        else:
            # Keras draws alpha from a range; the paper's is fixed.
            self.mixing = layers.CutMix((alpha, alpha), seed=seed, dtype="float32")

    def build(self, shape):
        self.partner = self.add_weight(
            (self.batch,), "zeros", "int32", trainable=False, name="partner"
        )
        self.share = self.add_weight((self.batch,), "ones", trainable=False, name="share")

    def call(self, images, training=False):
        if not training:
            return images
        drawn = self.mixing.get_random_transformation(images, training=True)
        self.partner.assign(ops.cast(drawn["permutation_order"], "int32"))
        self.share.assign(ops.reshape(drawn["mix_weight"], (self.batch,)))
        return self.mixing.transform_images(images, drawn, training=True)

    def labels(self, one_hot):
        """The labels [batch, classes], mixed as the pictures of the last call."""
        drawn = {"permutation_order": self.partner, "mix_weight": self.share}
        return self.mixing.transform_labels(one_hot, drawn, training=True)

    def compute_output_shape(self, shape):
        return shape
