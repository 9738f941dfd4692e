"""What Keras trains: augmentation, network and loss, with teachers or without."""

import keras
from keras import ops

from model.data.augmentation import Mix
from model.training.distillation import Teachers, divergence


class Learner(keras.Model):
    """Pixels [n, height, width, 3] through `augmentation` (layers) and `network` to logits [n, k].

    `adjust` [k] is added to the logits in training alone: tau * log(prior), the logit adjustment of
    Menon et al., Long-tail learning via logit adjustment, ICLR 2021, equation 10.

    `teachers` see in training what the network sees. The loss is then `label_share` of that of the
    labels, and for the rest the divergence from the teachers' mean answer at `temperature`
    (model/training/distillation.py). Pictures whose label is all zeros have none: they teach through the
    teachers alone.

    Metrics are of the labels as they are and the logits as they will be used.
    """

    def __init__(
        self,
        augmentation: list,
        network: keras.Model,
        *,
        adjust=None,
        teachers: Teachers | None = None,
        label_share: float | None = None,
        temperature: float | None = None,
    ):
        super().__init__()
        self.augmentation, self.network, self.teachers = augmentation, network, teachers
        self.adjust, self.label_share, self.temperature = adjust, label_share, temperature

    def build(self, shape):
        for layer in self.augmentation:
            layer.build(shape)

    def call(self, pictures, training=False):
        for layer in self.augmentation:
            pictures = layer(pictures, training=training)
        logits = self.network(pictures, training=training)
        if self.teachers is None or not training:
            return logits
        return {"logits": logits, "answer": self.teachers(pictures)}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        for layer in self.augmentation:
            if isinstance(layer, Mix):
                y = layer.labels(y)
        logits = adjusted = y_pred if self.teachers is None else y_pred["logits"]
        if self.adjust is not None:
            adjusted = logits + ops.convert_to_tensor(self.adjust, "float32")
        loss = super().compute_loss(x, y, adjusted, _of_labelled(y, sample_weight), training)
        if self.teachers is None:
            return loss
        apart = divergence(y_pred["answer"], logits, self.temperature)
        if sample_weight is not None:
            apart = apart * ops.cast(sample_weight, "float32")
        return self.label_share * loss + (1 - self.label_share) * ops.mean(apart)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred
        return super().compute_metrics(x, y, logits, _of_labelled(y, sample_weight))


def _of_labelled(y, weight):
    """The weight [n] of each picture, 0 of those without a label."""
    labelled = ops.cast(ops.sum(y, axis=-1) > 0, "float32")
    return labelled if weight is None else labelled * ops.cast(weight, "float32")
