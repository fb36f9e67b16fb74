"""Batches: padding, flat targets and their way back."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from vf.data.collate import Collate, pad_images
from vf.data.pipeline import Failure, Fitted
from vf.data.sample import Batch, Sample
from vf.errors import DataError


def item(height: int, width: int, boxes: list[list[float]], id_: str) -> Fitted:
    target = {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes).reshape(-1, 4), format="XYXY", canvas_size=(height, width)
        ),
        "masks": tv_tensors.Mask(torch.ones(len(boxes), height, width, dtype=torch.bool)),
        "label": torch.tensor(len(boxes)),
        "text": f"t{id_}",
    }
    image = tv_tensors.Image(torch.full((3, height, width), 7, dtype=torch.uint8))
    return Fitted(Sample(image, target, id_), (height * 2, width * 2))


def batch() -> Batch:
    made = Collate(fill=114)([item(4, 6, [[0, 0, 1, 1], [1, 1, 2, 2]], "a"), item(5, 3, [], "b")])
    assert isinstance(made, Batch)
    return made


def test_images_lie_at_the_top_left_of_the_padding() -> None:
    made = batch()
    assert made.images.shape == (2, 3, 5, 6)
    assert made.images.dtype == torch.uint8
    assert made.sizes.tolist() == [[4, 6], [5, 3]]
    assert made.original.tolist() == [[8, 12], [10, 6]]
    assert made.images[0, 0, :4, :6].unique().tolist() == [7]
    assert made.images[0, 0, 4].unique().tolist() == [114]
    assert made.images[1, 0, :, 3:].unique().tolist() == [114]


@pytest.mark.parametrize("sizes", [[(4, 6), (4, 6)], [(4, 6), (5, 3), (1, 1)], [(2, 2)]])
@pytest.mark.parametrize("last", [False, True])
def test_images_keep_their_pixels_however_they_lie_in_memory(sizes: list[tuple[int, int]], last: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    given = [image.permute(1, 2, 0).contiguous().permute(2, 0, 1) if last else image for image in images]
    made, lengths = pad_images(given, fill=9, at_least=[(5, 4)])
    assert made.is_contiguous()
    assert lengths.tolist() == [list(size) for size in sizes]
    for out, image in zip(made, images, strict=True):
        expected = torch.full_like(out, 9)
        expected[:, : image.shape[1], : image.shape[2]] = image
        assert torch.equal(out, expected)


def test_targets_are_flat_and_come_back_for_each_image() -> None:
    made = batch()
    assert made.targets["boxes"].shape == (2, 4)
    assert made.targets["masks"].shape == (2, 5, 6)
    assert made.targets["label"].tolist() == [2, 0]
    first, second = made.per_image()
    assert first["boxes"].tolist() == [[0, 0, 1, 1], [1, 1, 2, 2]]
    assert second["boxes"].shape == (0, 4)
    assert second["masks"].shape == (0, 5, 6)
    assert (first["id"], second["text"], int(second["label"])) == ("a", "tb", 0)


def test_to_keeps_everything() -> None:
    assert batch().to(torch.device("cpu")).ids == ("a", "b")


def test_a_failure_takes_the_place_of_the_batch() -> None:
    failure = Failure(DataError, ("x",))
    assert Collate(fill=0)([item(4, 4, [], "a"), failure]) is failure
