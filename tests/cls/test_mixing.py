"""Mixing of batches: hand-made tables, and the same batch from the same generator."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from vf.data.sample import Batch
from vf.errors import ConfigError
from vf.plugins import plugins
from vf_cls import mixing, mixing_configs
from vf_cls.mixing import BatchMix, CutMix, Mixing, Mixup, ResizeMix


def batch(images: Tensor) -> Batch:
    """Image n has label n."""
    count, size = len(images), list(images.shape[-2:])
    return Batch(
        images=images,
        sizes=torch.tensor([size] * count),
        original=torch.tensor([size] * count),
        ids=tuple(map(str, range(count))),
        targets={"labels": torch.arange(count)},
        counts={"labels": (1,) * count},
    )


def flat(*levels: int, side: int = 8) -> Batch:
    """Images of one grey each."""
    return batch(torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side).clone())


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("mix", [Mixup(alpha=1.0), CutMix(), ResizeMix()])
def test_the_share_is_what_the_pixels_say(mix: Mixing) -> None:
    """Image n is of grey 16 n: the mean of a mixed image gives its share, and whose the rest is."""
    plain = flat(0, 16, 32, 64, side=32)
    for seed in range(20):
        mixed = mix(plain, rng(seed))
        share, other = mixed.targets["mix_share"], mixed.targets["mix_with"]
        assert sorted(other.tolist()) == [0, 1, 2, 3]
        own = plain.images.float().mean((1, 2, 3))
        wanted = share * own + (1 - share) * own[other]
        torch.testing.assert_close(mixed.images.float().mean((1, 2, 3)), wanted, atol=1e-3, rtol=0)
        assert ((share >= 0) & (share <= 1)).all()
    assert plain.images[3].eq(64).all(), "the batch that it is given stays as it is"


def test_mixup_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "beta", lambda alpha, rng: 0.25)
    mixed = Mixup()(flat(0, 100), rng(1))
    assert mixed.targets["mix_share"].tolist() == [0.25, 0.25]
    order = mixed.targets["mix_with"].tolist()
    levels = [0.0, 100.0]
    for place in (0, 1):
        wanted = 0.25 * levels[place] + 0.75 * levels[order[place]]
        assert mixed.images[place].unique().tolist() == [wanted]
    assert mixed.images.dtype == torch.float32


def test_cutmix_cuts_a_rectangle_and_counts_what_is_left_of_it_at_the_border() -> None:
    seen = set()
    for seed in range(50):
        mixed = CutMix()(flat(0, 200, side=10), rng(seed))
        if mixed.targets["mix_with"].tolist() == [0, 1]:
            continue
        foreign = mixed.images[0, 0] == 200
        rows, columns = foreign.any(1).nonzero().flatten(), foreign.any(0).nonzero().flatten()
        area = len(rows) * len(columns)
        assert int(foreign.sum()) == area
        assert mixed.targets["mix_share"][0].item() == pytest.approx(1 - area / 100)
        assert mixed.images.dtype == torch.uint8
        seen.add(area)
    assert len(seen) > 5


def test_resize_mix_lays_the_whole_other_image_small_upon() -> None:
    left = torch.zeros(2, 3, 40, 40, dtype=torch.uint8)
    left[1, :, :, 20:] = 240  # black, then white
    left[0] = 100
    for seed in range(20):
        mixed = ResizeMix(scale=(0.5, 0.5))(batch(left), rng(seed))
        assert mixed.targets["mix_share"].tolist() == [0.75, 0.75]
        if mixed.targets["mix_with"].tolist() == [0, 1]:
            continue
        image = mixed.images[0, 0]
        where = (image != 100).nonzero()
        top, start = where.min(0).values.tolist()
        patch = image[top : top + 20, start : start + 20]
        assert patch[:, :8].eq(0).all()
        assert patch[:, 12:].eq(240).all()
        assert int((image == 100).sum()) == 1200


def test_the_same_generator_gives_the_same_batch_and_another_one_another() -> None:
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=rng(5))
    for mix in (Mixup(), CutMix(), ResizeMix(), BatchMix([Mixup(), CutMix()], weights=[1, 1], p=0.5)):
        torch.manual_seed(1)
        one = mix(batch(images), rng(3))
        torch.manual_seed(2)
        assert torch.equal(one.images.float(), mix(batch(images), rng(3)).images.float())
        assert any(not torch.equal(one.images.float(), mix(batch(images), rng(s)).images.float()) for s in range(4))


def test_a_batch_of_one_is_mixed_with_itself() -> None:
    for mix in (Mixup(), CutMix(), ResizeMix(scale=(1.0, 1.0))):
        mixed = mix(flat(40), rng())
        assert mixed.targets["mix_with"].tolist() == [0]
        assert mixed.images.float().unique().tolist() == [40]


def test_probability_and_weights() -> None:
    plain = flat(0, 100)
    assert Mixup(p=0.0)(plain, rng()) is plain
    assert BatchMix([Mixup()], weights=[1], p=0.0)(plain, rng()) is plain
    kinds = []
    both = BatchMix([Mixup(), CutMix()], weights=[3.0, 1.0], p=0.8)
    for seed in range(400):
        mixed = both(plain, rng(seed))
        kinds.append("none" if mixed is plain else str(mixed.images.dtype))
    shares = {kind: kinds.count(kind) / 400 for kind in set(kinds)}
    assert shares == pytest.approx({"none": 0.2, "torch.float32": 0.6, "torch.uint8": 0.2}, abs=0.06)


def test_two_of_them_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        CutMix()(Mixup()(flat(0, 9), rng()), rng())
    assert caught.value.problems == (
        "augment: two transforms mix the same batch; put them into one batch_mix, which takes one of them",
    )


def test_configs_build_them_and_refuse_what_is_none() -> None:
    config = mixing_configs.BatchMix(choices=(mixing_configs.Mixup(), mixing_configs.CutMix()), weights=(1.0, 2.0))
    assert config.build().batches is True
    flip = plugins().lookup("transform", "horizontal_flip")()
    with pytest.raises(ConfigError, match=r"^augment: batch_mix: horizontalflip changes single images; put it beside"):
        mixing_configs.BatchMix(choices=(flip,)).build()
    with pytest.raises(ValueError, match=r"^weights: 1 of them for 2 choices$"):
        mixing_configs.BatchMix(choices=(mixing_configs.Mixup(), mixing_configs.CutMix()), weights=(1.0,))
    with pytest.raises(ValueError, match=r"^choices: is an empty list; expected at least one way to mix$"):
        mixing_configs.BatchMix(choices=())
    with pytest.raises(ValueError, match=r"^scale: the first must not be larger than the second, got \[0.8, 0.1\]$"):
        mixing_configs.ResizeMix(scale=(0.8, 0.1))
    mixing_configs.ResizeMix().build()
