"""Metrics against torchmetrics, scikit-learn and tables worked by hand, with the rows that are odd."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics.functional.classification as tm
from torch import Tensor

import vf.testing
from vf.errors import ConfigError, DataError
from vf.protocols import MetricConfig
from vf_cls import metric_configs as c

EXACT = 1e-9
INFO = attrs.evolve(vf.testing.INFO, task="cls")
SIX = attrs.evolve(INFO, classes=tuple("abcdef"))
MANY = attrs.evolve(INFO, multi_label=True)


def rows(probabilities: Any, labels: Any) -> tuple[list[dict[str, Tensor]], list[dict[str, Any]]]:
    """Predictions and targets, a row for each image; labels are one index or a list of them."""
    table = torch.as_tensor(probabilities, dtype=torch.float32)
    targets = [
        {"id": str(i), "labels": torch.tensor([own] if isinstance(own, int) else own, dtype=torch.int64)}
        for i, own in enumerate(labels)
    ]
    return [{"probabilities": row, "label": row.argmax()} for row in table], targets


def drawn(images: int, classes: int, *, seed: int = 0, sharp: float = 2.0) -> tuple[Tensor, list[int]]:
    """Softmax of noise that leans to the label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator) * sharp
    logits[torch.arange(images), labels] += 1.5
    return logits.softmax(1), labels.tolist()


def measured(config: MetricConfig, probabilities: Any, labels: Any, info: Any = INFO) -> dict[str, float | None]:
    metric = config.build(info)
    metric.update(*rows(probabilities, labels))
    return metric.compute()


@pytest.mark.parametrize(
    "config",
    [c.Accuracy(), c.PrecisionRecall(), c.ConfusionMatrix(), c.Calibration(), c.MultiLabel(), c.MultiLabel(topk=2)],
)
def test_the_contract_of_metrics(config: MetricConfig) -> None:
    probabilities, labels = drawn(40, 3)
    vf.testing.check_metric(config, *rows(probabilities, labels))
    assert not [value for _, value in config.build(INFO).table() if value]


def test_accuracy_is_torchmetrics() -> None:
    probabilities, labels = drawn(500, 6)
    numbers = measured(c.Accuracy(topk=(1, 3, 5)), probabilities, labels, SIX)
    for k in (1, 3, 5):
        wanted = tm.multiclass_accuracy(probabilities, torch.tensor(labels), 6, average="micro", top_k=k)
        assert numbers[f"top{k}"] == pytest.approx(float(wanted), abs=1e-7)  # it divides in float32
        ranks = (-probabilities.numpy()).argsort(1, kind="stable")[:, :k]
        assert numbers[f"top{k}"] == np.mean([label in rank for label, rank in zip(labels, ranks, strict=True)])


def test_accuracy_of_equal_probabilities_takes_the_lower_index_first() -> None:
    table = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    assert measured(c.Accuracy(topk=(1, 2)), table, [0, 1, 2]) == {"top1": 1 / 3, "top2": 2 / 3}


def test_accuracy_leaves_out_a_k_that_holds_all_classes() -> None:
    assert list(measured(c.Accuracy(), [[0.2, 0.7, 0.1]], [1])) == ["top1"]
    assert list(measured(c.Accuracy(), [[0.2, 0.7, 0.1, 0, 0, 0]], [1], SIX)) == ["top1", "top5"]
    assert measured(c.Accuracy(), [[1.0]], [0], attrs.evolve(INFO, classes=("a",))) == {"top1": 1.0}
    with pytest.raises(ValueError, match=r"^must be rising numbers > 0, got \[5, 1\]$"):
        c.Accuracy(topk=(5, 1))


@pytest.mark.parametrize("labels_of", [lambda n: n, lambda n: [0 if x == 2 else x for x in n]], ids=["all", "absent"])
def test_precision_and_recall_are_scikit_learns(labels_of: Any) -> None:
    probabilities, labels = drawn(300, 6)
    labels = labels_of(labels)
    said = probabilities.argmax(1).tolist()
    there = sorted(set(labels))
    numbers = measured(c.PrecisionRecall(), probabilities, labels, SIX)
    for average, prefix in (("macro", ""), ("micro", "micro_")):
        given = there if average == "macro" else None
        wanted = sk.precision_recall_fscore_support(labels, said, labels=given, average=average, zero_division=0)
        for kind, value in zip(("precision", "recall", "f1"), wanted[:3], strict=True):
            assert numbers[f"{prefix}{kind}"] == pytest.approx(value, abs=EXACT)
    assert numbers["support"] == 300
    metric = c.PrecisionRecall().build(SIX)
    metric.update(*rows(probabilities, labels))
    table = dict(metric.table())
    each = sk.precision_recall_fscore_support(labels, said, labels=range(6), zero_division=0)
    for index, name in enumerate("abcdef"):
        for kind, values in zip(("precision", "recall", "f1"), each, strict=False):
            wanted = values[index] if index in there else None
            assert table[f"{name} {kind}"] == (None if wanted is None else pytest.approx(wanted, abs=EXACT))
        assert table[f"{name} support"] == labels.count(index)


def test_precision_and_recall_by_hand() -> None:
    """a a b are there, a b b said: a has precision 1 and recall 1/2, b 1/2 and 1; c is nowhere, n/a and in no mean."""
    metric = c.PrecisionRecall().build(INFO)
    metric.update(*rows(torch.eye(3)[[0, 1, 1]], [0, 0, 1]))
    numbers = metric.compute()
    assert (numbers["precision"], numbers["recall"]) == (0.75, 0.75)
    assert numbers["f1"] == pytest.approx(2 / 3)
    assert numbers["micro_f1"] == pytest.approx(2 / 3)
    table = dict(metric.table())
    assert [table[f"c {kind}"] for kind in ("precision", "recall", "f1", "support")] == [None, None, None, 0]
    assert not c.PrecisionRecall(classwise=False).build(INFO).table()
    # a class that is there and was never said: 0, not n/a
    never = c.PrecisionRecall().build(INFO)
    never.update(*rows(torch.eye(3)[[0, 0]], [0, 2]))
    assert dict(never.table())["c f1"] == 0


def test_confusion_matrix_is_scikit_learns() -> None:
    probabilities, labels = drawn(300, 6)
    metric: Any = c.ConfusionMatrix(rows=3).build(SIX)
    metric.update(*rows(probabilities, labels))
    wanted = sk.confusion_matrix(labels, probabilities.argmax(1), labels=range(6))
    assert metric.matrix.tolist() == wanted.tolist()
    numbers = metric.compute()
    assert numbers["error"] == pytest.approx(1 - np.trace(wanted) / 300, abs=EXACT)
    assert numbers["class_accuracy"] == pytest.approx(np.mean(np.diag(wanted) / wanted.sum(1)), abs=EXACT)
    np.fill_diagonal(wanted, 0)
    assert [value for _, value in metric.table()] == sorted(wanted.flatten().tolist())[:-4:-1]
    there, said = divmod(int(wanted.argmax()), 6)
    assert metric.table()[0][0] == f"{'abcdef'[there]} → {'abcdef'[said]}"


@pytest.mark.parametrize("count", [1, 3, 60, 1500])
def test_the_picture_of_a_matrix(count: int) -> None:
    """Its cells are white where nothing is, and full where all images of a class went."""
    info = attrs.evolve(INFO, classes=tuple(f"class {i}" for i in range(count)))
    metric: Any = c.ConfusionMatrix().build(info)
    metric.matrix[0, count - 1] = 7
    picture = metric.picture()
    assert max(picture.size) < 2000
    shades = {colour for _, colour in picture.getcolors(maxcolors=1 << 20)}
    assert (12, 68, 140) in shades
    assert (255, 255, 255) in shades


def test_calibration_is_torchmetrics() -> None:
    probabilities, labels = drawn(800, 6)
    for bins in (1, 10, 15):
        numbers = measured(c.Calibration(bins=bins), probabilities, labels, SIX)
        for name, norm in (("ece", "l1"), ("mce", "max")):
            wanted = tm.multiclass_calibration_error(
                probabilities.double(), torch.tensor(labels), 6, n_bins=bins, norm=norm
            )
            # it keeps the edges of its bins and the accuracies in float32
            assert numbers[name] == pytest.approx(float(wanted), abs=1e-6)
            assert numbers[name] == pytest.approx(_by_hand(probabilities, labels, bins)[name], abs=EXACT)


def _by_hand(probabilities: Tensor, labels: list[int], bins: int) -> dict[str, float]:
    sure, said = (t.tolist() for t in probabilities.double().max(1))
    gaps = []
    for place in range(bins):
        inside = [i for i, p in enumerate(sure) if min(bins - 1, math.floor(p * bins)) == place]
        if inside:
            gap = sum(said[i] == labels[i] for i in inside) / len(inside) - sum(sure[i] for i in inside) / len(inside)
            gaps.append((abs(gap), len(inside)))
    return {"ece": sum(gap * n for gap, n in gaps) / len(sure), "mce": max(gap for gap, _ in gaps)}


def test_calibration_by_hand() -> None:
    """Two images of 0.75, one of which is right, and one of 1.0 that is: gaps 0.25 and 0."""
    metric = c.Calibration(bins=2).build(INFO)
    metric.update(*rows([[0.75, 0.25, 0], [0.75, 0.25, 0], [0, 0, 1.0]], [0, 1, 2]))
    assert metric.compute()["ece"] == pytest.approx(2.5 / 3 - 2 / 3)
    metric = c.Calibration(bins=4).build(INFO)
    metric.update(*rows([[0.7, 0.3, 0], [0.7, 0.3, 0], [0, 0, 1.0]], [0, 1, 2]))
    assert metric.compute() == pytest.approx({"ece": 0.4 / 3, "mce": 0.2}, abs=1e-7)
    assert [value is None for _, value in metric.table()] == [True, True, False, False]


@pytest.mark.parametrize("topk", [None, 2])
def test_multi_label_is_scikit_learns(topk: int | None) -> None:
    rng = np.random.default_rng(3)
    probabilities = rng.random((200, 6)).round(2).astype(np.float32)  # many of them equal
    there = rng.random((200, 6)) < 0.3
    there[:5], there[5:8], there[:, 4] = False, True, False  # none, all; a class that is nowhere
    metric = c.MultiLabel(topk=topk).build(attrs.evolve(SIX, multi_label=True))
    metric.update(*rows(probabilities, [np.flatnonzero(row).tolist() for row in there]))
    numbers, table = metric.compute(), dict(metric.table())
    if topk is None:
        said = probabilities >= 0.5
    else:
        said = np.zeros_like(there)
        np.put_along_axis(said, (-probabilities).argsort(1, kind="stable")[:, :topk], True, 1)
    known = [0, 1, 2, 3, 5]
    aps = [sk.average_precision_score(there[:, i], probabilities[:, i]) for i in known]
    assert numbers["mAP"] == pytest.approx(np.mean(aps), abs=EXACT)
    p, r, f, _ = sk.precision_recall_fscore_support(there, said, zero_division=0)
    assert numbers["CP"] == pytest.approx(p[known].mean(), abs=EXACT)
    assert numbers["CR"] == pytest.approx(r[known].mean(), abs=EXACT)
    assert numbers["CF1"] == pytest.approx(2 / (1 / p[known].mean() + 1 / r[known].mean()), abs=EXACT)
    op, recall, of, _ = sk.precision_recall_fscore_support(there, said, average="micro", zero_division=0)
    assert [numbers[k] for k in ("OP", "OR", "OF1")] == pytest.approx([op, recall, of], abs=EXACT)
    for index, ap in zip(known, aps, strict=True):
        row = [table[f"{'abcdef'[index]} {kind}"] for kind in ("AP", "P", "R", "F1")]
        assert row == pytest.approx([ap, p[index], r[index], f[index]], abs=EXACT)
    assert [table[f"e {kind}"] for kind in ("AP", "P", "R", "F1")] == [None] * 4


def test_multi_label_average_precision_is_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(100, 3, generator=generator)
    there = torch.rand(100, 3, generator=generator) < 0.4
    numbers = measured(c.MultiLabel(), probabilities, [row.nonzero().flatten().tolist() for row in there], MANY)
    wanted = tm.multilabel_average_precision(probabilities.double(), there.long(), 3)
    assert numbers["mAP"] == pytest.approx(float(wanted), abs=1e-6)


def test_multi_label_of_images_without_labels() -> None:
    """Nothing is there: nothing to measure, whatever is said."""
    numbers = measured(c.MultiLabel(), [[0.9, 0.1, 0.1]], [[]], MANY)
    assert set(numbers.values()) == {None}
    # one is there and nothing is said: 0, not n/a
    numbers = measured(c.MultiLabel(), [[0.1, 0.1, 0.1]], [[0]], MANY)
    assert numbers == {"mAP": 1.0, "CP": 0, "CR": 0, "CF1": 0, "OP": 0, "OR": 0, "OF1": 0}


def features(vectors: Any) -> list[dict[str, Tensor]]:
    return [{"features": torch.tensor(v, dtype=torch.float32), "probabilities": torch.zeros(3)} for v in vectors]


def test_knn_by_hand() -> None:
    """Two of a at 0° and 20°, one of b at 90°; k = 1 names the nearest, k = 3 sums the votes."""
    metric: Any = c.KNN(k=1).build(INFO)
    known = features([[1, 0], [0.94, 0.34], [0, 1]])
    metric.learn(known, rows(torch.zeros(3, 3), [0, 0, 1])[1])
    asked = features([[5, 1], [0.1, 3], [0.6, 0.8]])
    targets = rows(torch.zeros(3, 3), [0, 1, 2])[1]
    metric.update(asked, targets)
    assert metric.compute() == {"knn_top1": 2 / 3}
    vote: Any = c.KNN(k=3, temperature=10.0).build(INFO)  # so warm that three votes count alike
    vote.learn(known, rows(torch.zeros(3, 3), [0, 0, 1])[1])
    vote.update(asked, targets)
    assert vote.compute() == {"knn_top1": 1 / 3}


def test_knn_is_scikit_learns_and_merges() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90).tolist()
    vectors = rng.normal(size=(90, 8)) + 1.2 * np.eye(8)[labels]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    targets = rows(torch.zeros(90, 3), labels)[1]
    halves = [c.KNN(k=5, temperature=0.1).build(INFO) for _ in range(2)]
    for half, (low, middle, high) in zip(halves, ((0, 30, 45), (45, 75, 90)), strict=True):
        one: Any = half
        one.learn(features(vectors[low:middle]), targets[low:middle])
        one.update(features(vectors[middle:high]), targets[middle:high])
    merged = c.KNN(k=5, temperature=0.1).build(INFO)
    merged.merge([half.state() for half in halves])
    known, asked = [*range(30), *range(45, 75)], [*range(30, 45), *range(75, 90)]
    judge = KNeighborsClassifier(5, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1))
    judge.fit(vectors[known], np.array(labels)[known])
    wanted = judge.score(vectors[asked], np.array(labels)[asked])
    assert merged.compute() == {"knn_top1": pytest.approx(wanted, abs=EXACT)}


def test_knn_keeps_no_more_than_asked_for_whatever_the_order() -> None:
    targets = rows(torch.zeros(40, 3), [0] * 40)[1]
    kept = []
    for turn in (1, -1):
        metric: Any = c.KNN(most=8).build(INFO)
        for place in range(0, 40)[::turn]:
            metric.learn(features([[1, place]]), [targets[place]])
            assert len(metric._known) <= 16
        metric.compute()
        kept.append(sorted(np.concatenate(metric._known.hashes).tolist()))
    assert len(kept[0]) == 8
    assert kept[0] == kept[1]


def test_knn_says_what_it_needs() -> None:
    metric: Any = c.KNN().build(INFO)
    assert metric.compute() == {"knn_top1": None}
    plain, targets = rows(torch.eye(3), [0, 1, 2])
    with pytest.raises(ConfigError, match=r"^metric knn: predictions hold no features; --set model.features=true$"):
        metric.learn(plain, targets)
    with pytest.raises(ConfigError, match=r"^metric knn: looks at the training images first, which vf run test alone"):
        metric.update(plain, targets)


@pytest.mark.parametrize("config", [c.Accuracy(), c.PrecisionRecall(), c.ConfusionMatrix(), c.Calibration(), c.KNN()])
def test_metrics_of_one_label_refuse_many(config: MetricConfig) -> None:
    with pytest.raises(
        ConfigError, match=r"is for images with one label each, and the data are multi-label; take multi"
    ):
        config.build(MANY)


@pytest.mark.parametrize("config", [c.Accuracy(), c.PrecisionRecall(), c.ConfusionMatrix(), c.Calibration()])
def test_an_image_of_an_unknown_class_is_not_measured(config: MetricConfig) -> None:
    table = torch.eye(3)[[0, 1, 1, 2]]
    assert measured(config, table, [0, [], 1, []]) == measured(config, table[[0, 2]], [0, 1])
    assert set(measured(config, table[:1], [[]]).values()) == {None}


def test_other_mistakes_are_named() -> None:
    with pytest.raises(DataError, match=r"^0: expected one label, got 2$"):
        measured(c.Accuracy(), [[0.1, 0.9, 0]], [[0, 1]])
    with pytest.raises(ConfigError, match=r"^metric multi_label: topk 4 is more than the 3 classes$"):
        c.MultiLabel(topk=4).build(MANY)
