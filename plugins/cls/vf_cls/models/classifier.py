"""Any net that gives [B,C] as a model of vf: its image rules, its loss, its predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.errors import ConfigError, DataError
from vf.weights import init_from
from vf_cls.losses import CrossEntropy, Loss
from vf_cls.models.heads import find_head, input_of
from vf_cls.models.preprocess import CenterCrop

if TYPE_CHECKING:
    from vf.protocols import Prediction
    from vf_cls.models.averaged import Averaged

Load = Callable[[Callable[[str], None]], None]


class Classifier(nn.Module):
    """A net with what is around it. Tensors: ``net.`` + the names of the net.

    Args:
        net: float [B,3,H,W] -> logits [B,C]; in training it may give the logits of auxiliary heads after them.
        preprocess: of images.
        num_classes: C.
        loss: of logits against targets; None: cross entropy.
        multi_label: whether an image has any number of labels; it belongs to the data.
        features: whether a prediction also holds what the head eats.
        fixed_size: whether the net takes images of ``preprocess.size`` alone.
        auxiliary: weight of the loss of each auxiliary head.
        layers: name of each parameter of the net -> layer, from 0 to that of the head; None: it does not number them.
        pretrained: file, run or address of weights to start from; or nothing.
        load: how weights are loaded in the place of ``pretrained``, for those that need more than their names.
    """

    num_layers: int | None = None

    def __init__(
        self,
        net: nn.Module,
        *,
        preprocess: CenterCrop,
        num_classes: int,
        loss: Loss | None = None,
        multi_label: bool = False,
        features: bool = False,
        fixed_size: bool = False,
        auxiliary: float = 0.0,
        layers: Mapping[str, int] | None = None,
        pretrained: str = "",
        load: Load | None = None,
    ) -> None:
        super().__init__()
        self.net, self.preprocess = net, preprocess
        self.loss = loss if loss is not None else CrossEntropy()
        self.num_classes, self.multi_label, self.gives_features = num_classes, multi_label, features
        self._fixed_size, self._auxiliary = fixed_size, auxiliary
        self._layers = {f"net.{name}": layer for name, layer in (layers or {}).items()}
        if layers:
            self.num_layers = max(layers.values())
        self._pretrained, self._load = pretrained, load

    def layer_id(self, parameter_name: str) -> int:
        """Return the layer that a parameter belongs to; see `vf.protocols.Model`."""
        return self._layers[parameter_name]

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights to start from, where there are any; a head of other classes stays new.

        Raises:
            CheckpointError: they cannot be had, or are those of another net.
        """
        if self._load is not None:
            self._load(tell)
        elif self._pretrained:
            line = init_from(self.net, self._pretrained, tell=tell, key="model.pretrained", parts=("net",))
            tell(f"model {line}")

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return the loss in training, else probabilities [C], and the label where an image has one."""
        if not self.training:
            return self.predicted(batch)
        output = self.net(self._images(batch))
        logits, *others = [output] if isinstance(output, Tensor) else output
        return self.losses(logits, batch, others)

    def losses(self, logits: Tensor, batch: Batch, others: Sequence[Tensor] = ()) -> dict[str, Tensor]:
        """Return the losses of logits [B,C], and of those of auxiliary heads."""
        targets = self.targets(batch)
        losses = {"cls": self.loss(logits.float(), targets)}
        for number, other in enumerate(others, 1):
            losses[f"aux{number}"] = self._auxiliary * self.loss(other.float(), targets)
        return losses

    def targets(self, batch: Batch) -> Tensor:
        """Return [B,C]: 1 for each label, 0 elsewhere; of mixed images the shares.

        Raises:
            DataError: an image has not one label, and the data are not multi-label.
        """
        labels, counts = batch.targets["labels"], batch.counts["labels"]
        if not self.multi_label and set(counts) != {1}:
            wrong = next(id_ for id_, count in zip(batch.ids, counts, strict=True) if count != 1)
            raise DataError(f"{wrong}: expected one label, got {dict(zip(batch.ids, counts, strict=True))[wrong]}")
        rows = torch.repeat_interleave(torch.arange(len(batch)), torch.tensor(counts)).to(labels.device)
        targets = torch.zeros(len(batch), self.num_classes, device=labels.device)
        targets[rows, labels] = 1.0
        if "mix_with" in batch.targets:
            share = batch.targets["mix_share"][:, None]
            targets = share * targets + (1 - share) * targets[batch.targets["mix_with"]]
        return targets

    def logits(self, batch: Batch) -> Tensor:
        """Return [B,C] of the main head."""
        return self._logits(self._images(batch))

    def _logits(self, images: Tensor) -> Tensor:
        output = self.net(images)
        first: Tensor = output if isinstance(output, Tensor) else output[0]
        return first

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what the net says; see `vf.protocols.Model`.

        Returns:
            ``probabilities`` float32 [B,C]: they add up to 1, or are each for itself, as the loss has it;
            ``features`` float32 [B,D], what the head eats, where predictions have them.
        """
        if not self.gives_features:
            return {"probabilities": self._normed(self._logits(self._seen(images, sizes)))}
        with input_of(find_head(self.net, self.num_classes)) as seen:
            probabilities = self._normed(self._logits(self._seen(images, sizes)))
        return {"probabilities": probabilities, "features": seen[0].float()}

    def _normed(self, logits: Tensor) -> Tensor:
        return logits.float().sigmoid() if self.loss.sigmoid else logits.float().softmax(1)

    def probabilities(self, batch: Batch) -> Tensor:
        """Return [B,C] on the device."""
        return self.raw(batch.images, batch.sizes)["probabilities"]

    def predicted(self, batch: Batch) -> list[Prediction]:
        """Return what there is to say of each image."""
        return self.said(self.raw(batch.images, batch.sizes))

    def said(self, raw: Mapping[str, Tensor]) -> list[Prediction]:
        """Make predictions of what :meth:`raw` gives."""
        predictions = as_predictions(raw["probabilities"], multi_label=self.multi_label)
        for prediction, features in zip(
            predictions, raw["features"].cpu() if self.gives_features else (), strict=False
        ):
            prediction["features"] = features
        return predictions

    def with_tta(self, *, scales: Sequence[float], flip: bool, **options: Any) -> Averaged:
        """Return a model that takes the mean of the probabilities of several views of an image.

        Raises:
            ConfigError: the net takes one size alone, or an option is not known.
        """
        from vf_cls.models.averaged import Averaged

        if options:
            raise ConfigError(f"tta: a classifier takes the mean of probabilities; leave {' and '.join(options)} out")
        if self._fixed_size and set(scales) != {1.0}:
            height, width = self.preprocess.size
            raise ConfigError(
                f"tta: this net takes images of {height}×{width} px alone, and so has no scales; take --tta 1"
            )
        return Averaged(self, scales=scales, flip=flip)

    def explain(self, batch: Batch) -> list[Tensor]:
        """Return what of each image speaks for its first class: [H,W] from 0 to 1 as decoded (Grad-CAM)."""
        from vf_cls.models.cam import grad_cam

        maps = grad_cam(self, self._images(batch))
        sizes = [(int(height), int(width)) for height, width in batch.original.tolist()]
        return [self.preprocess.spread(one, size) for one, size in zip(maps, sizes, strict=True)]

    def _images(self, batch: Batch) -> Tensor:
        return self._seen(batch.images, batch.sizes)

    def _seen(self, pixels: Tensor, sizes: Tensor) -> Tensor:
        images: Tensor = self.preprocess(pixels, sizes)
        size = (images.shape[2], images.shape[3])
        if self._fixed_size and size != self.preprocess.size:
            wanted = self.preprocess.size
            raise ConfigError(
                f"augment: gives images of {size[0]}×{size[1]} px (height × width), and this net takes "
                f"{wanted[0]}×{wanted[1]} alone; change one of the two, or model.input.size"
            )
        return images


def as_predictions(probabilities: Tensor, *, multi_label: bool) -> list[Prediction]:
    """Return one prediction for each row of [B,C], on the CPU."""
    rows = probabilities.cpu()
    if multi_label:
        return [{"probabilities": row} for row in rows]
    return [{"probabilities": row, "label": label} for row, label in zip(rows, rows.argmax(1), strict=True)]
