"""Classifiers: what they build, train and predict, and the sentences with which they refuse."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import torchvision
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

import vf.testing
import vf_cls
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.errors import ConfigError, DataError
from vf.protocols import ModelConfig
from vf_cls import loss_configs as losses
from vf_cls import model_configs as c
from vf_cls.models.classifier import Classifier
from vf_cls.models.preprocess import CenterCrop

INFO = attrs.evolve(vf.testing.INFO, task="cls")
MANY = attrs.evolve(INFO, multi_label=True)
SMALL = c.Input(size=(64, 64))


def sample(size: tuple[int, int], labels: Sequence[int] = (0,), seed: int = 0, id_: str = "x") -> Sample:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    return Sample(tv_tensors.Image(pixels), {"labels": torch.tensor(labels, dtype=torch.int64)}, id_)


def batch(model: nn.Module, *labels: Sequence[int], size: tuple[int, int] = (80, 100)) -> Batch:
    preprocess: Any = model.preprocess
    fitted = [
        Fitted(preprocess.fit(sample(size, own, seed, str(seed)), with_target=True), size)
        for seed, own in enumerate(labels)
    ]
    made = Collate(fill=0)(fitted)
    assert isinstance(made, Batch)
    return made


MODELS: dict[str, ModelConfig] = {
    "resnet18": c.Torchvision(arch="resnet18", input=SMALL),
    "googlenet": c.Torchvision(arch="googlenet", input=SMALL),
    "squeezenet1_1": c.Torchvision(arch="squeezenet1_1", input=SMALL),
    "vit_b_16": c.Torchvision(arch="vit_b_16", input=SMALL),
    "swin_t": c.Torchvision(arch="swin_t", input=SMALL, drop_path=0.1),
    "timm vit": c.Timm(arch="vit_tiny_patch16_224", input=SMALL, drop_path=0.1),
    "timm convnext": c.Timm(arch="convnext_atto", input=SMALL, drop=0.1),
    "cifar_resnet 20": c.CifarResNet(depth=20),
    "cifar_resnet 18": c.CifarResNet(depth=18),
    "linear_probe": c.LinearProbe(model=c.CifarResNet(depth=20)),
}


def test_the_contract_of_plugins() -> None:
    vf.testing.check_plugin(vf_cls)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("info", [INFO, MANY], ids=["one label", "many"])
def test_it_trains_and_predicts(name: str, info: vf.DatasetInfo) -> None:
    config: Any = MODELS[name]
    if info.multi_label:
        inner = config.model if name == "linear_probe" else config
        inner = attrs.evolve(inner, loss=losses.BCE())
        config = attrs.evolve(config, model=inner) if name == "linear_probe" else inner
    torch.manual_seed(0)
    model = config.build(info)
    data = batch(model, [0], [2]) if not info.multi_label else batch(model, [0, 2], [])
    given = model.train()(data)
    total = torch.stack(list(given.values())).sum()
    assert total.isfinite()
    total.backward()
    waiting = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not waiting, f"parameters without a gradient, over which processes would wait: {waiting[:4]}"
    with torch.no_grad():
        predictions = model.eval()(data)
    for prediction in predictions:
        assert prediction["probabilities"].shape == (3,)
        assert prediction["probabilities"].dtype == torch.float32
        if info.multi_label:
            assert "label" not in prediction
        else:
            assert float(prediction["probabilities"].sum()) == pytest.approx(1, abs=1e-5)
            assert prediction["label"].dtype == torch.int64
            assert prediction["label"].ndim == 0
    pickle.dumps(copy.deepcopy(model.preprocess))


def test_the_numbers_of_parameters_are_the_published_ones() -> None:
    """ResNet-20 for CIFAR-10: 0.27 M (table 6 of arXiv 1512.03385); ResNet-50: 25,557,032 (torchvision)."""
    ten = attrs.evolve(INFO, classes=tuple(map(str, range(10))))
    thousand = attrs.evolve(INFO, classes=tuple(map(str, range(1000))))
    counts = {
        depth: sum(p.numel() for p in c.CifarResNet(depth=depth).build(ten).parameters()) for depth in (20, 56, 110)
    }
    assert {depth: round(count / 1e6, 2) for depth, count in counts.items()} == {20: 0.27, 56: 0.85, 110: 1.73}
    whole = c.Torchvision(arch="resnet50").build(thousand)
    assert sum(p.numel() for p in whole.parameters()) == 25_557_032


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (224, 500), (37, 61), (997, 401)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_preprocessing_is_that_of_torchvisions_weights(size: tuple[int, int], interpolation: Any) -> None:
    rules = c.Input(interpolation=interpolation).build()
    one = sample(size)
    fitted = rules.fit(one, with_target=False)
    ours = rules(fitted.image[None], torch.tensor([[224, 224]]))
    theirs = v2.Compose(
        [
            v2.Resize(256, interpolation=v2.InterpolationMode(interpolation), antialias=True),
            v2.CenterCrop(224),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )(one.image)
    torch.testing.assert_close(ours[0], theirs.as_subclass(torch.Tensor), atol=1e-5, rtol=1e-5)


def test_preprocessing_of_other_shapes() -> None:
    wide = CenterCrop(size=(32, 64), short=40)
    assert wide.fit(sample((100, 100)), with_target=True).size == (32, 64)
    assert wide.resized((100, 100)) == (80, 80)  # so that the 64 of the width fit in, as 40 does for 32
    assert CenterCrop(size=(32, 64), squash=True).fit(sample((100, 10)), with_target=True).size == (32, 64)
    same = sample((32, 32))
    assert torch.equal(CenterCrop(size=(32, 32)).fit(same, with_target=True).image, same.image)
    flipped = CenterCrop(size=(8, 8), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), bgr=True)
    image = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert flipped(image, torch.tensor([[8, 8]]))[0, :, 0, 0].tolist() == [2, 1, 0]


def test_what_the_net_sees_of_an_image() -> None:
    rules = c.Input().build()
    # 512 × 1024 becomes 256 × 512, of which the middle 224 × 224 are 448 × 448 px at 32, 288.
    assert rules.seen((512, 1024)) == (32, 288, 448, 448)
    spread = rules.spread(torch.ones(224, 224), (512, 1024))
    assert spread.shape == (512, 1024)
    assert spread.sum().item() == 448 * 448
    assert spread[32, 288] == 1
    assert spread[31, 288] == 0


def test_mixed_images_have_soft_targets() -> None:
    model: Any = c.CifarResNet().build(INFO)
    data = batch(model, [0], [1], [2])
    mixed = {"mix_with": torch.tensor([1, 2, 2]), "mix_share": torch.tensor([0.75, 0.5, 0.1])}
    data = attrs.evolve(data, images=data.images.float(), targets={**data.targets, **mixed})
    assert model.targets(data).tolist() == [[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 1]]
    assert model.train()(data)["cls"].isfinite()


def test_an_image_without_one_label_is_named() -> None:
    model: Any = c.CifarResNet().build(INFO)
    with pytest.raises(DataError) as caught:
        model.train()(batch(model, [0], [1, 2]))
    assert caught.value.problems == ("1: expected one label, got 2",)


def test_the_probe_changes_its_head_alone() -> None:
    model: Any = c.LinearProbe(model=c.CifarResNet()).build(INFO)
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["model.net.fc.weight", "model.net.fc.bias"]
    before = {n: t.clone() for n, t in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    data = batch(model, [0], [1], size=(32, 32))
    model.train()(data)["cls"].backward()
    optimizer.step()
    changed = [n for n, t in model.state_dict().items() if not torch.equal(t, before[n])]
    assert changed == ["model.net.fc.weight", "model.net.fc.bias"]


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vit_b_16", "timm vit", "cifar_resnet 20"])
def test_features_are_what_the_head_eats(name: str) -> None:
    """The head gives the logits of them; that of squeezenet has a ReLU between it and its pooling."""
    config: Any = MODELS[name]
    model: Any = attrs.evolve(config, features=True).build(INFO).eval()
    data = batch(model, [0], [1])
    with torch.no_grad():
        predictions = model(data)
        features = torch.stack([p["features"] for p in predictions])
        assert features.ndim == 2
        if name != "squeezenet1_1":
            from vf_cls.models.heads import find_head

            given = find_head(model.net, 3)(features).softmax(1)
            torch.testing.assert_close(given, torch.stack([p["probabilities"] for p in predictions]))


def test_tta_is_the_mean_of_views() -> None:
    model: Any = c.CifarResNet().build(INFO).eval()
    data = batch(model, [0], [1], size=(32, 32))
    with torch.no_grad():
        plain = torch.stack([p["probabilities"] for p in model(data)])
        mirrored = attrs.evolve(data, images=data.images.flip(3))
        other = torch.stack([p["probabilities"] for p in model(mirrored)])
        both = torch.stack([p["probabilities"] for p in model.with_tta(scales=[1.0], flip=True)(data)])
        torch.testing.assert_close(both, (plain + other) / 2)
        alone = torch.stack([p["probabilities"] for p in model.with_tta(scales=[1.0], flip=False)(data)])
        torch.testing.assert_close(alone, plain)
        larger = model.with_tta(scales=[1.0, 1.5], flip=True)
        assert larger.preprocess.size == (48, 48)
        for prediction in larger(batch(larger, [0])):
            assert float(prediction["probabilities"].sum()) == pytest.approx(1, abs=1e-5)


def test_tta_refuses_what_it_cannot() -> None:
    vit: Any = c.Torchvision(arch="vit_b_16", input=SMALL).build(INFO)
    with pytest.raises(ConfigError, match=r"^tta: this net takes images of 64×64 px alone, and so has no scales; take"):
        vit.with_tta(scales=[1.0, 1.2], flip=True)
    with pytest.raises(ConfigError, match=r"^tta: a classifier takes the mean of probabilities; leave merge out$"):
        vit.with_tta(scales=[1.0], flip=True, merge="nms")


class Bright(nn.Module):
    """Pools a map that is the red channel; class 0 is what is bright in it."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        self.fc = nn.Linear(2, 3, bias=False)
        with torch.no_grad():
            self.map.weight.zero_()
            self.map.weight[0, 0] = 1 / 16
            self.fc.weight.zero_()
            self.fc.weight[0, 0] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.map(x).mean((2, 3)))


def test_grad_cam_by_hand() -> None:
    """With a pooled map and a linear head it is the map times the weight of its class."""
    rules = CenterCrop(size=(16, 16), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model = Classifier(Bright(), preprocess=rules, num_classes=3).eval()
    image = torch.zeros(3, 32, 64, dtype=torch.uint8)
    image[0, :16, 32:48] = 200  # bright in the upper right of the middle
    one = Sample(tv_tensors.Image(image), {"labels": torch.tensor([0])}, "x")
    data = Collate(fill=0)([Fitted(rules.fit(one, with_target=False), one.size)])
    assert isinstance(data, Batch)
    [heat] = model.explain(data)
    assert heat.shape == (32, 64)
    assert heat[:, :16].eq(0).all()
    assert heat[:, 48:].eq(0).all()
    assert heat[4, 44] == pytest.approx(1, abs=0.01)
    assert heat[28, 20] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vit_b_16", "swin_t", "timm vit", "timm convnext"])
def test_grad_cam_of_nets(name: str) -> None:
    torch.manual_seed(1)
    model: Any = MODELS[name].build(INFO).eval()
    data = batch(model, [0], [1])
    with torch.no_grad():
        maps = model.explain(data)
    assert [tuple(heat.shape) for heat in maps] == [(80, 100)] * 2
    for heat in maps:
        assert float(heat.min()) >= 0
        assert float(heat.max()) <= 1
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (c.Torchvision(arch="resnet5"), "model.arch: torchvision has no net 'resnet5'; did you mean 'resnet50' or"),
        (
            c.Timm(arch="vit_tny_patch16_224"),
            "model.arch: timm has no net 'vit_tny_patch16_224'; did you mean 'vit_tiny",
        ),
        (
            c.Torchvision(arch="alexnet", input=c.Input(size=(32, 32))),
            "model.input.size: alexnet does not take images of 32×32 px (height × width): Given input size",
        ),
        (
            c.Torchvision(arch="vit_b_16", input=c.Input(size=(100, 100))),
            "model.input.size: vit_b_16: Input shape indivisible by patch size; choose another size",
        ),
        (
            c.Torchvision(arch="vit_b_16", input=c.Input(size=(64, 96))),
            "model.input.size: vit_b_16 takes squares alone, got 64×96; choose another size",
        ),
        (
            c.Torchvision(arch="resnet18", drop=0.1),
            "model.drop: torchvision's resnet18 has none; leave it out, or take",
        ),
        (c.Timm(arch="vgg11", drop_path=0.1), "model.arch: timm's vgg11 cannot be built so: VGG.__init__() got an"),
    ],
)
def test_it_refuses_to_build(config: ModelConfig, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.build(INFO)
    [said] = caught.value.problems
    assert said.startswith(sentence)
    assert "\n" not in said


def test_it_refuses_data_and_keys_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"^model.loss: cross_entropy is for images with one label each"):
        c.CifarResNet().build(MANY)
    with pytest.raises(
        ConfigError, match=r"^model.kind: hard teaches one class, and the data are multi-label; take soft$"
    ):
        c.Distilled(student=c.CifarResNet(loss=losses.BCE()), teacher="x", kind="hard").build(MANY)
    with pytest.raises(
        ConfigError, match=r"^linear_probe.model: expected a classifier with a net and a head, got dist"
    ):
        c.LinearProbe(model=c.Distilled(student=c.CifarResNet(), teacher="x")).build(INFO)
    with pytest.raises(ValueError, match=r"^short 200 < 224, the shorter side of size$"):
        c.Input(short=200)
    with pytest.raises(ValueError, match=r"^squash cuts nothing, so short has no meaning; leave one of them out$"):
        c.Input(short=256, squash=True)
    model: Any = c.Torchvision(arch="vit_b_16", input=SMALL).build(INFO)
    with pytest.raises(
        ConfigError, match=r"^augment: gives images of 32×32 px \(height × width\), and this net takes 64×"
    ):
        model.train()(batch(c.CifarResNet().build(INFO), [0], [1]))


def test_weights_to_start_from(tmp_path: Path) -> None:
    """A file of torchvision's names: the head of other classes stays new."""
    theirs = torchvision.models.resnet18(num_classes=7)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    model: Any = c.Torchvision(arch="resnet18", input=SMALL, pretrained=str(tmp_path / "resnet18.pth")).build(INFO)
    said: list[str] = []
    model.load_pretrained(said.append)
    assert said == [
        f"model loaded 100/102 from {tmp_path}/resnet18.pth; new 2: fc.*; other shapes: fc.weight (7, 512) for "
        "(3, 512), fc.bias (7) for (3)"
    ]
    assert torch.equal(model.net.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    for arch, place in (("resnet18", "torchvision:resnet18"),):
        asked: Any = c.Torchvision(arch=arch, input=SMALL, pretrained="imagenet").build(INFO)
        assert asked._pretrained == "https://download.pytorch.org/models/resnet18-f37072fd.pth", place


def test_weights_of_timm_to_start_from(tmp_path: Path) -> None:
    import timm

    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=1000, img_size=96)
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    place = str(tmp_path / "vit.pth")
    model: Any = c.Timm(arch="vit_tiny_patch16_224", input=SMALL, pretrained=place).build(INFO)
    said: list[str] = []
    model.load_pretrained(said.append)
    total = len(model.net.state_dict())
    assert said == [f"model loaded {total - 2}/{total} from {place}; new 2: head.*"]
    assert torch.equal(model.net.blocks[3].mlp.fc1.weight, theirs.blocks[3].mlp.fc1.weight)
    assert model.net.pos_embed.shape == (1, 17, 192)
