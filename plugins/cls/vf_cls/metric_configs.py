"""Config classes of metrics. Free of torch and numpy until ``build()``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs

import vf
from vf.errors import ConfigError

if TYPE_CHECKING:
    from vf.protocols import Metric

__all__ = ["KNN", "Accuracy", "Calibration", "ConfusionMatrix", "MultiLabel", "PrecisionRecall"]


def _rising(instance: Any, attribute: attrs.Attribute[Any], value: tuple[int, ...]) -> None:
    if not value or value[0] < 1 or any(a >= b for a, b in itertools.pairwise(value)):
        raise ValueError(f"must be rising numbers > 0, got {list(value)}")


def _classwise() -> Any:
    return vf.field(default=True, help="the numbers of each class in the table")


def _one_label(info: vf.DatasetInfo, name: str) -> None:
    """Raise ConfigError where images have any number of labels."""
    if info.multi_label:
        raise ConfigError(
            f"metric {name}: is for images with one label each, and the data are multi-label; take multi_label"
        )


@vf.config
class Accuracy:
    """Part of the images whose class is among the first k: top1, top5."""

    topk: tuple[int, ...] = vf.field(
        default=(1, 5),
        help="values of k, rising; those that all classes would fit into are left out",
        validator=_rising,
    )

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_cls.metrics.accuracy import Accuracy

        _one_label(info, "accuracy")
        return Accuracy(num_classes=len(info.classes), topk=self.topk)


@vf.config
class PrecisionRecall:
    """Precision, recall, F1 and support: mean over classes (macro), of all together (micro), and of each class."""

    classwise: bool = _classwise()

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_cls.metrics.precision_recall import PrecisionRecall

        _one_label(info, "precision_recall")
        return PrecisionRecall(classes=info.classes, classwise=self.classwise)


@vf.config
class MultiLabel:
    """Of any number of labels an image: mAP; precision, recall, F1 over classes (CP CR CF1) and overall (OP OR OF1)."""

    threshold: float = vf.field(
        default=0.5, help="probability from which on a class is said to be there", validator=vf.within(0, 1)
    )
    topk: int | None = vf.field(default=None, help="instead: the k most probable classes are", validator=vf.positive())
    classwise: bool = _classwise()

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_cls.metrics.multi_label import MultiLabel

        if self.topk is not None and self.topk > len(info.classes):
            raise ConfigError(f"metric multi_label: topk {self.topk} is more than the {len(info.classes)} classes")
        return MultiLabel(classes=info.classes, threshold=self.threshold, topk=self.topk, classwise=self.classwise)


@vf.config
class ConfusionMatrix:
    """Which class is taken for which: mean accuracy of classes, the most frequent mistakes, and a picture."""

    rows: int = vf.field(default=20, help="most mistakes in the table", validator=vf.at_least(0))

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_cls.metrics.confusion_matrix import ConfusionMatrix

        _one_label(info, "confusion_matrix")
        return ConfusionMatrix(classes=info.classes, rows=self.rows)


@vf.config
class Calibration:
    """Whether 0.8 means right in 8 of 10: expected and largest calibration error (arXiv 1706.04599)."""

    bins: int = vf.field(default=15, help="of the largest probability, all as wide", validator=vf.positive())

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_cls.metrics.calibration import Calibration

        _one_label(info, "calibration")
        return Calibration(bins=self.bins)


@vf.config
class KNN:
    """Top-1 of the k nearest training images by the cosine of features (arXiv 1805.01978); vf run test alone.

    It takes ``model.features: true``, and looks at the training images first, resized like those of a test.
    """

    k: int = vf.field(default=20, help="neighbours that vote", validator=vf.positive())
    temperature: float = vf.field(default=0.07, help="a vote counts exp(cosine / temperature)", validator=vf.positive())
    most: int = vf.field(
        default=200_000,
        help="training images that are kept, chosen by a hash of their ids where there are more",
        unit="images",
        validator=vf.positive(),
    )

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_cls.metrics.knn import KNN

        _one_label(info, "knn")
        return KNN(num_classes=len(info.classes), k=self.k, temperature=self.temperature, most=self.most)
