"""A student and its teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.sample import Batch
from vf.errors import CheckpointError, did_you_mean, listed
from vf.predict import Predictor
from vf_cls.models.classifier import Classifier

if TYPE_CHECKING:
    from vf.protocols import Prediction


class Distilled(nn.Module):
    """Trains a classifier on labels and on what a teacher says. Tensors: ``student.`` + its.

    Args:
        student: the classifier.
        classes: of the student.
        teacher: run or checkpoint.
        kind: soft or hard.
        temperature: of kind soft.
        weight: part of the loss that is the teacher's.
    """

    def __init__(
        self,
        student: Classifier,
        *,
        classes: Sequence[str],
        teacher: str,
        kind: str = "soft",
        temperature: float = 4.0,
        weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.student, self.preprocess = student, student.preprocess
        self.num_layers = student.num_layers
        self._kind, self._temperature, self._weight = kind, temperature, weight
        self._teacher = Teacher(teacher, classes)

    def layer_id(self, parameter_name: str) -> int:
        """Return the layer of the student that a parameter belongs to."""
        return self.student.layer_id(parameter_name.removeprefix("student."))

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights that the student starts from, and the teacher."""
        self.student.load_pretrained(tell)
        self._teacher.load(tell)

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return both losses in training, else what the student predicts."""
        if not self.training:
            return self.student.said(self.raw(batch.images, batch.sizes))
        output: Any = self.student.net(self.student.preprocess(batch.images, batch.sizes))
        logits, *others = [output] if isinstance(output, Tensor) else output
        losses = self.student.losses(logits, batch, others)
        own = {name: (1 - self._weight) * value for name, value in losses.items()}
        return {**own, "distill": self._weight * self._distance(logits.float(), self._teacher.says(batch))}

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what the student says; see :meth:`Classifier.raw`."""
        return self.student.raw(images, sizes)

    def _distance(self, logits: Tensor, taught: Tensor) -> Tensor:
        """Return how far logits [B,C] are from the log probabilities, up to a constant for each row, of the teacher."""
        loss, heat = self.student.loss, self._temperature
        if self._kind == "hard":
            hard: Tensor = loss(logits, F.one_hot(taught.argmax(1), taught.shape[1]).to(logits.dtype))
            return hard
        if loss.sigmoid:
            return F.binary_cross_entropy_with_logits(logits / heat, (taught / heat).sigmoid()) * heat**2
        ours, theirs = F.log_softmax(logits / heat, 1), F.log_softmax(taught / heat, 1)
        return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * heat**2

    def with_tta(self, *, scales: Sequence[float], flip: bool, **options: Any) -> nn.Module:
        """Return a model that takes the mean of what the student says of several views."""
        return self.student.with_tta(scales=scales, flip=flip, **options)

    def explain(self, batch: Batch) -> list[Tensor]:
        """Return what of each image speaks for the student's first class."""
        return self.student.explain(batch)


class Teacher:
    """A model that is no part of the one that is trained: not moved, copied, counted or saved with it.

    Args:
        place: run or checkpoint.
        classes: in the order in which it shall speak.
    """

    def __init__(self, place: str, classes: Sequence[str]) -> None:
        self._place, self._classes = place, tuple(classes)
        self._predictor: Predictor | None = None
        self._order: list[int] = []

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # an average of the student has the same teacher

    def load(self, tell: Callable[[str], None] = lambda line: None, device: str = "cpu") -> Predictor:
        """Read it, once.

        Raises:
            CheckpointError: there is none, or its classes are not those of the student.
        """
        if self._predictor is None:
            predictor = Predictor.load(self._place, device=device)
            self._order = self._matched(predictor.info.classes)
            predictor.model.requires_grad_(False)
            self._predictor = predictor
            tell(f"model taught by {self._place}")
        return self._predictor

    def _matched(self, theirs: Sequence[str]) -> list[int]:
        missing = [name for name in self._classes if name not in theirs]
        if missing or len(theirs) != len(self._classes):
            more = [name for name in theirs if name not in self._classes]
            raise CheckpointError(
                f"model.teacher {self._place}: its classes are not those of the data: it lacks {listed(missing)}, and "
                f"has {listed(more)} besides{did_you_mean(missing[0], more) if missing else ''}; teach with a model "
                "of the same classes"
            )
        return [theirs.index(name) for name in self._classes]

    @torch.no_grad()
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def says(self, batch: Batch) -> Tensor:
        """Return logits [B,C] in the student's order of classes; of others' models, log probabilities."""
        model = self.load(device=str(batch.images.device)).model.to(batch.images.device)
        if isinstance(model, Classifier):
            logits = model.logits(batch).float()
        else:
            said = [prediction["probabilities"] for prediction in model(batch)]
            logits = torch.stack(said).to(batch.images.device).clamp(min=1e-12).log()
        return logits[:, self._order]
