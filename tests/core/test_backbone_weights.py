"""Weights that a backbone starts from: published ones, files, addresses, and when they are loaded."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import nn

import vf.nn.backbones.backbone
from vf import backbones as configs
from vf.console import Console
from vf.engine.build import build_training
from vf.engine.train import train
from vf.errors import CheckpointError
from vf.nn.backbones.backbone import Backbone, published
from vf.plugins import plugins
from vf.recipes import from_text
from vf.yaml12 import dump


def filled(net: nn.Module, *, seed: int = 0) -> nn.Module:
    """Give every norm statistics that are not at their start."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if name.endswith("var") else -0.5))
    return net


def test_addresses_are_those_that_torchvision_publishes() -> None:
    assert published("torchvision:resnet50") == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    assert published("torchvision:vgg16.IMAGENET1K_FEATURES").endswith("vgg16_features-amdegroot-88682ab5.pth")
    assert published("my.pth") == "my.pth"
    for (depth, groups, width), name in configs.RESNETS.items():
        config = configs.ResNet(depth=depth, groups=groups, width_per_group=width, pretrained="imagenet")  # type: ignore[arg-type]
        assert published(config.address()).rpartition("/")[2].startswith(f"{name}-")
    assert configs.ResNet(style="caffe", pretrained="imagenet").address().endswith("/resnet50_msra-5891d200.pth")
    assert configs.HRNet(pretrained="imagenet").build().pretrained.endswith("/hrnetv2_w18-00eb2006.pth")


class Handler(http.server.BaseHTTPRequestHandler):
    content = b""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[object, str], str]]:
    """Return a function that puts a saved object on a server in this process, and returns its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("VF_CACHE", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def put(content: object, name: str) -> str:
            buffer = BytesIO()
            torch.save(content, buffer)
            monkeypatch.setattr(Handler, "content", buffer.getvalue())
            digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
            return f"http://127.0.0.1:{server.server_address[1]}/{name}-{digest}.pth"

        yield put
        server.shutdown()
        thread.join()


def loaded(net: Backbone) -> str:
    lines: list[str] = []
    net.load_pretrained(lines.append)
    return lines[-1] if lines else ""


def test_published_weights_are_fetched_and_reported(
    serve: Callable[[object, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = filled(torchvision.models.resnet18(weights=None)).state_dict()
    url = serve(theirs, "resnet18")
    monkeypatch.setattr(
        vf.nn.backbones.backbone, "get_model_weights", lambda net: {"IMAGENET1K_V1": SimpleNamespace(url=url)}
    )
    net = configs.ResNet(depth=18, pretrained="imagenet", norm="frozen_bn").build()
    assert loaded(net) == f"backbone loaded 100/100 from {url}; unused 2: fc.*"
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in net.state_dict().items())
    any_net = configs.Torchvision(net="resnet18", pretrained="imagenet").build()
    assert loaded(any_net) == f"backbone loaded 100/100 from {url}; unused 2: fc.*"
    ssd = configs.VGG16SSD(pretrained="imagenet")
    assert ssd.build().pretrained == "torchvision:vgg16.IMAGENET1K_FEATURES"


def test_weights_of_a_file_an_address_and_a_whole_detector(serve: Callable[[object, str], str], tmp_path: Path) -> None:
    state = filled(configs.ResNet(depth=18).build()).state_dict()
    url = serve({"state_dict": {f"module.{n}": t for n, t in state.items()}}, "own")
    path = tmp_path / "detector.pth"
    torch.save({**{f"backbone.{n}": t for n, t in state.items()}, "head.weight": torch.ones(3)}, path)
    for source in (url, str(path)):
        net = configs.ResNet(depth=18, pretrained=source).build()
        assert loaded(net) == f"backbone loaded 100/100 from {source}"
        assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    tv = configs.Torchvision(net="resnet18", pretrained=str(path)).build()
    assert loaded(tv).startswith("backbone loaded 100/100 from ")
    assert loaded(configs.ResNet(depth=18).build()) == ""


def test_weights_that_are_not_there_or_of_another_net(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"a": torch.ones(2)}, path)
    for source, rest in (
        ("nowhere.pth", "no such file, run or http(s) address"),
        (
            str(path),
            "only 0 of the model's 100 tensors fit by name and shape; the model begins with conv1.weight "
            "(64, 3, 7, 7), bn1.weight (64), bn1.bias (64); the file with a (2); choose weights of this model",
        ),
    ):
        with pytest.raises(CheckpointError) as error:
            loaded(configs.ResNet(depth=18, pretrained=source).build())
        assert str(error.value) == f"backbone.pretrained {source}: {rest}"


def test_a_training_loads_them_once_and_only_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = type(plugins().lookup("model", "net")().build(SimpleNamespace(classes=("a", "b"))))

    def load_pretrained(self: nn.Module, tell: Callable[[str], None]) -> None:
        tell("backbone loaded")
        nn.init.constant_(self.get_parameter("conv.weight"), 0.5)

    monkeypatch.setattr(net, "load_pretrained", load_pretrained, raising=False)
    recipe = {"task": "toy", "model": {"name": "net"}, "data": {"name": "squares"}, "metrics": [{"name": "accuracy"}]}
    keys = {"length": "2 steps", "batch_size": 4, "optimizer": {"name": "sgd", "lr": 1e-9}, "save_every": "1 steps"}
    said, kept = [], []
    first = tmp_path / "first" / "checkpoints" / "step_00000001"
    for name, changes, resumed in (
        ("first", {}, None),
        ("resumed", {}, first),
        ("init", {"init_from": str(first)}, None),
    ):
        folder, out = tmp_path / name, StringIO()
        folder.mkdir()
        text = dump({**recipe, "train": {**keys, **changes, "device": "cpu"}, "loader": {"workers": 0}})
        with Console(out) as console:
            training = build_training(from_text(text, "r.yaml"), folder, console, checkpoint=resumed)
            kept.append(training.state.model.get_parameter("conv.weight").detach().clone())
            if name == "first":
                train(training)
        said.append(out.getvalue().count("backbone loaded"))
    assert said == [1, 0, 0]
    for weight in kept:
        torch.testing.assert_close(weight, torch.full_like(weight, 0.5), atol=1e-6, rtol=0)
