"""What happens to training pictures on the device: geometry, colour, and mixing two of them."""

from keras import layers, ops


def augmentation(strength: float, seed: int, colour: float | None = None) -> list:
    """Keras layers on pixels 0-255: flips, rotation by any angle, scale and crop, colour.

    `strength` 0 is none, 1 the default; scale and shift grow with it, and colour with `colour`,
    which is as `strength` where None.
    """
    a, made = strength, []
    if strength > 0:
        made = [
            layers.RandomFlip("horizontal_and_vertical", seed=seed, dtype="float32"),
            layers.RandomRotation(0.5, fill_mode="reflect", seed=seed + 1, dtype="float32"),
            # Height and width apart: stands for the shapes that pictures are squeezed from.
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
    """MixUp or CutMix of a batch in training, on the device; at rest in use.

    `alpha` is that of the Beta distribution of the share (Zhang et al. 2018, Yun et al. 2019). The
    arithmetic is that of Keras' own layers, which want pictures and labels together; a model's
    call sees the pictures alone, so who was mixed with whom is kept in two variables for `labels`.
    """

    def __init__(self, kind: str, alpha: float, batch: int, seed: int):
        super().__init__(dtype="float32", name="mix")
        self.batch = batch
        if kind == "mixup":
            self.mixing = layers.MixUp(alpha, seed=seed, dtype="float32")
        else:
            # Keras draws alpha anew from a range; both ends alike make it the paper's.
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
        """The labels [batch, classes] of the pictures that the last call mixed."""
        drawn = {"permutation_order": self.partner, "mix_weight": self.share}
        return self.mixing.transform_labels(one_hot, drawn, training=True)

    def compute_output_shape(self, shape):
        return shape
