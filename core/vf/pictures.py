"""Draw labels and predictions: boxes, masks and class names on an image."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vf.data.sample import Batch

GOLDEN = 0.61803398875
"""Steps of the golden ratio around the hue circle keep any number of classes apart."""
UNKNOWN = 255
"""Of a map: no class."""
GREY = (150, 150, 150)
LEGIBLE = 112
"""Least side of a picture that is written on, px."""


def colour(index: int) -> tuple[int, int, int]:
    """Return the RGB colour of a class, the same in every picture."""
    hue = (0.58 + index * GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if index % 2 else 0.7, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw(
    image: Tensor,
    labels: Mapping[str, Any],
    classes: Sequence[str],
    *,
    threshold: float = 0.0,
    palette: Sequence[tuple[int, int, int]] | None = None,
    enlarge: bool = True,
) -> Image.Image:
    """Draw one image's labels or predictions.

    Args:
        image: uint8 [3,H,W] RGB.
        labels: any of ``boxes`` [N,4] XYXY pixels, ``masks`` [N,H,W], ``labels`` [N], ``scores`` [N], ``keypoints``
            [N,K,2] with ``visible`` [N,K] (0: not drawn), ``semantic`` [H,W] class indices (255: nothing); of the image
            as a whole, written into its corner: ``labels`` [N] where there are no boxes, or ``probabilities`` [C], of
            which the largest is written where there is also a ``label``, else all from ``threshold`` on; or ``text``.
            Of what is drawn by its outline, ``polygons`` [N,K,2], ``texts`` N strings, ``scores`` [N] and ``ignored``
            [N]; then ``boxes`` are not drawn. Nor are they where there is a ``panoptic`` map [H,W] of the ids of
            ``segments`` (id, category); a category that is no index of ``classes`` has no name.
        classes: names by class index.
        threshold: what scores less is left out.
        palette: one colour for each class, instead of :func:`colour`.
        enlarge: make an image that is too small to write on a few times as large, where something is written on it.
    """
    instead = "polygons" in labels or labels.get("segments") is not None
    keep = _kept(labels, threshold) if not instead else []
    masks, boxes = labels.get("masks"), labels.get("boxes") if not instead else None
    indices = labels["labels"].tolist() if "labels" in labels else []
    scores = labels["scores"].tolist() if "scores" in labels else None
    colours = [palette[i] if palette else colour(i) for i in indices] if boxes is not None else []
    array = image.permute(1, 2, 0).contiguous().cpu().numpy().copy()
    if masks is not None and boxes is not None:
        for i in keep:
            _tint(array, _mask(masks, i, array.shape[:2]), colours[i])
    if labels.get("semantic") is not None:
        _tint_map(array, labels["semantic"], palette)
    tags = _tint_segments(array, labels, classes, palette) if labels.get("segments") is not None else []
    captions = _captions(labels, classes, threshold)
    picture = _legible(Image.fromarray(array)) if captions and enlarge else Image.fromarray(array)
    canvas = ImageDraw.Draw(picture)
    side = math.sqrt(picture.width * picture.height)
    width, font = max(1, round(side / 300)), ImageFont.load_default(max(9.0, side / 45))
    for i in keep:
        text = classes[indices[i]] + (f" {scores[i]:.2f}" if scores else "")
        _box(canvas, boxes[i].tolist(), text, colours[i], width, font)  # type: ignore[index]
        if labels.get("keypoints") is not None:
            _points(canvas, labels["keypoints"][i].tolist(), labels["visible"][i].tolist(), colours[i], 2.0 * width)
    if "polygons" in labels:
        _outlines(canvas, labels, threshold, width, font)
    for corner, text, rgb in tags:
        _tag(canvas, corner, text, rgb, font)
    y = 0.0
    for index, text in captions:
        y = _tag(canvas, (0.0, y), text, palette[index] if palette else colour(index), font)
    return picture


def _captions(labels: Mapping[str, Any], classes: Sequence[str], threshold: float) -> list[tuple[int, str]]:
    """Return class index and text of what is said of the image as a whole, the surest first."""
    probabilities = labels.get("probabilities")
    if "text" in labels:
        return [(0, labels["text"] + (f" {float(labels['score']):.2f}" if "score" in labels else ""))]
    if probabilities is None:
        whole = labels["labels"] if "labels" in labels and not {"boxes", "polygons"} & set(labels) else torch.zeros(0)
        return [(i, classes[i]) for i in whole.reshape(-1).long().tolist()]
    if "label" in labels:
        chosen = [int(labels["label"])]
    else:
        chosen = [i for i in torch.argsort(probabilities, descending=True).tolist() if probabilities[i] >= threshold]
    return [(i, f"{classes[i]} {float(probabilities[i]):.2f}") for i in chosen]


def _outlines(canvas: ImageDraw.ImageDraw, labels: Mapping[str, Any], threshold: float, width: int, font: Any) -> None:
    """Draw polygons with what is written in each; those that are ignored in grey."""
    texts, scores, ignored = (labels.get(key) for key in ("texts", "scores", "ignored"))
    for i, corners in enumerate(torch.as_tensor(labels["polygons"]).tolist()):
        if scores is not None and scores[i] < threshold:
            continue
        rgb = GREY if ignored is not None and ignored[i] else colour(i)
        canvas.line([(x, y) for x, y in (*corners, corners[0])], fill=rgb, width=width, joint="curve")
        if texts is not None and texts[i]:
            high = canvas.textbbox((0, 0), texts[i], font=font)[3] + 2
            x, y = min(corners, key=lambda corner: corner[1])
            left = min(corner[0] for corner in corners)
            _tag(canvas, (max(0.0, min(x, left)), max(0.0, y - high)), texts[i], rgb, font)


def _legible(picture: Image.Image) -> Image.Image:
    """Enlarge a picture that is too small to write on, by a whole number."""
    times = -(-LEGIBLE // min(picture.size))
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def _kept(labels: Mapping[str, Any], threshold: float) -> list[int]:
    if labels.get("boxes") is None:
        return []
    if "scores" not in labels:
        return list(range(len(labels["boxes"])))
    # The surest are drawn last, on top.
    order: list[int] = torch.argsort(labels["scores"]).tolist()
    return [i for i in order if labels["scores"][i] >= threshold]


def _tint(array: np.ndarray[Any, Any], mask: np.ndarray[Any, Any], rgb: tuple[int, int, int]) -> None:
    where = mask.astype(bool)
    array[where] = (0.55 * array[where] + 0.45 * np.array(rgb)).astype(np.uint8)


def _tint_map(array: np.ndarray[Any, Any], semantic: Any, palette: Sequence[tuple[int, int, int]] | None) -> None:
    """Tint the pixels of a map [H,W] by class; 255 is nobody's."""
    values = np.asarray(semantic)[: array.shape[0], : array.shape[1]]
    for index in np.unique(values[values != UNKNOWN]).tolist():
        own = palette[index] if palette and index < len(palette) else colour(index)
        _tint(array, values == index, own)


def _tint_segments(
    array: np.ndarray[Any, Any],
    labels: Mapping[str, Any],
    classes: Sequence[str],
    palette: Sequence[tuple[int, int, int]] | None,
) -> list[tuple[tuple[float, float], str, tuple[int, int, int]]]:
    """Tint the segments of a panoptic map by class, with a white line around each; return where their names go."""
    ids = np.asarray(labels["panoptic"])[: array.shape[0], : array.shape[1]]
    tags = []
    for segment in labels["segments"]:
        where, index = ids == int(segment["id"]), int(segment["category"])
        if not where.any():
            continue
        rgb = palette[index] if palette and index < len(palette) else colour(index)
        _tint(array, where, rgb)
        # Where a segment is thickest there is room for its name.
        depth = cv2.distanceTransform(np.pad(where.astype(np.uint8), 1), cv2.DIST_L1, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        tags.append(((float(x), float(y)), classes[index] if index < len(classes) else "", rgb))
    edges = np.zeros(ids.shape, bool)
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[1:] |= ids[1:] != ids[:-1]
    array[edges] = 255
    return [tag for tag in tags if tag[1]]


def _points(
    canvas: ImageDraw.ImageDraw, points: list[list[float]], visible: list[int], rgb: tuple[int, int, int], radius: float
) -> None:
    """Draw keypoints: full where they are seen, a ring where they are hidden."""
    for (x, y), seen in zip(points, visible, strict=True):
        if seen:
            corners = (x - radius, y - radius, x + radius, y + radius)
            canvas.ellipse(corners, fill=rgb if seen > 1 else None, outline=(255, 255, 255) if seen > 1 else rgb)


def _box(
    canvas: ImageDraw.ImageDraw, box: list[float], text: str, rgb: tuple[int, int, int], width: int, font: Any
) -> None:
    x1, y1, x2, y2 = box
    canvas.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=rgb, width=width)
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    high, wide = bottom - top + 4, right - left + 6
    y = y1 - high if y1 >= high else max(0.0, y1)
    x = max(0.0, min(x1, canvas.im.size[0] - wide))
    _tag(canvas, (x, y), text, rgb, font)


def _tag(
    canvas: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, rgb: tuple[int, int, int], font: Any
) -> float:
    """Write on a ground of one colour, from its upper left corner on; return where it ends below."""
    x, y = corner
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    high, wide = bottom - top + 4, right - left + 6
    canvas.rectangle((x, y, x + wide, y + high), fill=rgb)
    ink = (0, 0, 0) if 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] > 140 else (255, 255, 255)
    canvas.text((x + 3 - left, y + 2 - top), text, fill=ink, font=font)
    return y + high


def _mask(masks: Any, index: int, size: tuple[int, ...]) -> Any:
    """Return one mask [H,W] without what the padding of a batch added to it; run lengths are decoded one by one."""
    mask = masks[index] if isinstance(masks, Tensor) else masks[index].dense()[0]
    return mask.cpu().numpy()[: size[0], : size[1]]


def save_train_batch(batch: Batch, classes: Sequence[str], path: Path, *, most: int = 16, cell: int = 320) -> None:
    """Save the first images of a training batch with their labels, as the model will see them."""
    pictures = []
    for image, size, target in list(zip(batch.images, batch.sizes.tolist(), batch.per_image(), strict=True))[:most]:
        pictures.append(draw(image[:, : size[0], : size[1]].cpu().to(torch.uint8), _on_cpu(target), classes))
    grid(pictures, cell=cell).save(path, quality=92)


def grid(pictures: Sequence[Image.Image], *, cell: int, columns: int | None = None) -> Image.Image:
    """Lay pictures in a grid of cells, nearly square where ``columns`` is not given, each scaled to fit its cell."""
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * cell, rows * cell), (32, 32, 32))
    for i, picture in enumerate(pictures):
        ratio = min(cell / picture.width, cell / picture.height)
        small = picture.resize((max(1, int(picture.width * ratio)), max(1, int(picture.height * ratio))))
        sheet.paste(small, (i % columns * cell, i // columns * cell))
    return sheet


def beside(left: Image.Image, right: Image.Image, *, gap: int = 8) -> Image.Image:
    """Put two pictures next to each other, ``gap`` px apart."""
    size = (left.width + gap + right.width, max(left.height, right.height))
    both = Image.new("RGB", size, (32, 32, 32))
    both.paste(left, (0, 0))
    both.paste(right, (left.width + gap, 0))
    return both


def _on_cpu(target: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.cpu() if isinstance(value, Tensor) else value for key, value in target.items()}
