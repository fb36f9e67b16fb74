"""Each optimizer of torch.optim: its keys arrive, it steps downhill, its state survives, wrong values are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vf.engine.optim import build_optimizer, load_optimizer_state, optimizer_state
from vf.errors import ConfigError
from vf.optimizers import (
    ASGD,
    LAMB,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from vf.plugins import plugins
from vf.schema import Duration
from vf.structuring import Structurer, unstructure
from vf.training import Train
from vf.yaml12 import dump, parse

ALL = sorted(Optimizer.choices())
FUSED = ["adagrad", "adam", "adamw", "sgd"]


def train_of(optimizer: Optimizer, **more: Any) -> Train:
    return Train(length=Duration(4, "steps"), batch_size=4, optimizer=optimizer, **more)


def groups(weight_decay: float = 0.25) -> list[dict[str, Any]]:
    return [{"params": [nn.Parameter(torch.zeros(2, 3))], "weight_decay": weight_decay}]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SGD(lr=0.1, momentum=0.8, nesterov=True), {"lr": 0.1, "momentum": 0.8, "nesterov": True, "dampening": 0}),
        (SGD(lr=0.1, dampening=0.5), {"dampening": 0.5}),
        (AdamW(lr=0.1, betas=(0.8, 0.9), eps=1e-6), {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-6}),
        (Adam(lr=0.1, amsgrad=True), {"amsgrad": True, "decoupled_weight_decay": False}),
        (RMSprop(lr=0.1, alpha=0.5, momentum=0.3, centered=True), {"alpha": 0.5, "momentum": 0.3, "centered": True}),
        (Adagrad(lr=0.1, lr_decay=0.2, initial_accumulator_value=1.0), {"lr_decay": 0.2}),
        (Adadelta(lr=1.0, rho=0.5), {"rho": 0.5, "lr": 1.0}),
        (Adamax(lr=0.1, betas=(0.5, 0.6)), {"betas": (0.5, 0.6)}),
        (NAdam(lr=0.1, momentum_decay=0.1, decoupled_weight_decay=True), {"momentum_decay": 0.1}),
        (RAdam(lr=0.1, decoupled_weight_decay=True), {"decoupled_weight_decay": True}),
        (ASGD(lr=0.1, lambd=0.2, alpha=0.3, t0=4.0), {"lambd": 0.2, "alpha": 0.3, "t0": 4.0}),
        (Adafactor(lr=0.1, beta2_decay=-0.5, eps=(1e-9, 0.1), d=2.0), {"beta2_decay": -0.5, "d": 2.0}),
        (Rprop(lr=0.1, etas=(0.1, 2.0), step_sizes=(1e-3, 1.0)), {"etas": (0.1, 2.0), "step_sizes": (1e-3, 1.0)}),
    ],
)
def test_keys_are_passed_on(config: Any, expected: dict[str, Any]) -> None:
    made = config.build(groups())
    assert type(made).__name__ == type(config).__name__
    (group,) = made.param_groups
    assert {key: group[key] for key in expected} == expected
    assert group["weight_decay"] == 0.25


@pytest.mark.parametrize("name", ALL)
def test_defaults_are_those_of_torch_but_for_momentum(name: str) -> None:
    cls = Optimizer.choices()[name]
    config = cls(lr=0.1)
    made = config.build(groups(config.weight_decay)).param_groups[0]
    plain = config._library().__dict__[cls.__name__]([nn.Parameter(torch.zeros(2, 3))], lr=0.1).param_groups[0]
    differ = {key for key in plain if key not in ("params", "foreach") and made[key] != plain[key]}
    assert differ == ({"momentum"} if name == "sgd" else set())


def test_lamb_by_hand() -> None:
    """The first step of Adam is the sign of the gradient: with decay 0.5 at (3, 4) it is (1 + 1.5, -1 + 2), which
    becomes as long as the point, 5, times lr; a tensor without decay takes Adam's step."""
    far, plain = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor([3.0, 4.0]))
    config = LAMB(lr=0.1, eps=1e-12)
    optimizer = config.build([{"params": [far], "weight_decay": 0.5}, {"params": [plain], "weight_decay": 0.0}])
    for point in (far, plain):
        point.grad = torch.tensor([0.7, -0.2])
    optimizer.step()
    step = torch.tensor([2.5, 1.0])
    torch.testing.assert_close(far.detach(), torch.tensor([3.0, 4.0]) - 0.1 * 5 * step / step.norm())
    torch.testing.assert_close(plain.detach(), torch.tensor([2.9, 4.1]))


@pytest.mark.parametrize("steps", [5])
def test_lamb_is_timms(steps: int) -> None:
    """Whose gradients are not clipped here; tensors of one size, and one that starts at nothing."""
    lamb = pytest.importorskip("timm.optim.lamb")
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(4, 3, generator=generator), torch.zeros(5)]
    ours, theirs = ([nn.Parameter(value.clone()) for value in values] for _ in range(2))
    mine = LAMB(lr=0.05).build([{"params": ours, "weight_decay": 0.1}])
    other = lamb.Lamb(theirs, lr=0.05, weight_decay=0.1, max_grad_norm=None)
    for _ in range(steps):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        other.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("implementation", ["auto", "foreach", "for-loop", "fused"])
@pytest.mark.parametrize("name", ALL)
def test_a_step_lowers_a_quadratic(name: str, implementation: Any) -> None:
    if implementation == "fused" and name not in FUSED:
        return
    config = Optimizer.choices()[name](lr=0.01, implementation=implementation)
    point = nn.Parameter(torch.tensor([[3.0, -2.0], [1.0, 4.0]]))
    optimizer = config.build([{"params": [point], "weight_decay": 0.0}])
    before = point.square().sum()
    before.backward()
    optimizer.step()
    assert point.square().sum() < before
    assert optimizer.param_groups[0]["foreach"] == {"fused": None, "for-loop": False}.get(implementation, True)


class Small(nn.Module):
    """One weight of each shape that an optimizer may treat in its own way; in channels_last, as in trainings."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Conv2d(3, 4, 1)
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.conv(self.point(x))) * self.scale
        return y.square().mean()


def some_steps(model: nn.Module, optimizer: torch.optim.Optimizer, *indices: int) -> None:
    for index in indices:
        optimizer.zero_grad()
        x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(index))
        model(x).backward()
        optimizer.step()


@pytest.mark.parametrize("implementation", ["auto", "fused"])
@pytest.mark.parametrize("name", ALL)
def test_state_by_name_goes_on_bitwise(name: str, implementation: Any, tmp_path: Path) -> None:
    if implementation == "fused" and name not in FUSED:
        return
    train = train_of(Optimizer.choices()[name](lr=0.01, implementation=implementation))
    torch.manual_seed(0)
    whole = Small()
    optimizer = build_optimizer(whole, train)
    some_steps(whole, optimizer, 0, 1, 2)
    torch.save([whole.state_dict(), optimizer_state(optimizer, whole)], tmp_path / "saved.pt")
    some_steps(whole, optimizer, 3, 4)
    weights, state = torch.load(tmp_path / "saved.pt", weights_only=True)
    resumed = Small()
    resumed.load_state_dict(weights)
    second = build_optimizer(resumed, train)
    load_optimizer_state(second, resumed, state)
    some_steps(resumed, second, 3, 4)
    for (key, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def problems(text: str) -> list[str]:
    structurer = Structurer(plugins())
    structurer.build(parse(f"length: 10 steps\nbatch_size: 4\n{text}", "f"), Train, "train")
    return structurer.problems


@pytest.mark.parametrize("name", ALL)
def test_the_written_recipe_builds_the_same_optimizer(name: str) -> None:
    rules = "rules: [{pattern: 'a.*', lr_mult: 0.5}, {pattern: '*', frozen: true}]"
    structurer = Structurer(plugins())
    text = f"length: 10 steps\nbatch_size: 4\noptimizer: {{name: {name}, lr: 0.1, {rules}, layer_decay: 0.5}}"
    first = structurer.build(parse(text, "f"), Train)
    written = dump(unstructure(first, plugins(), Train))
    assert structurer.build(parse(written, "f"), Train) == first
    assert not structurer.problems
    assert [rule.lr_mult for rule in first.optimizer.rules] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{name: sgd, lr: 1, nesterov: true, momentum: 0}",
            "train.optimizer: nesterov needs a momentum above 0 and a dampening of 0; set both or leave it out",
        ),
        ("{name: adam, lr: 1, betas: [0.9, 1]}", "train.optimizer.betas: must be from 0 to less than 1, got 1.0"),
        ("{name: adafactor, lr: 1, eps: [null, 0]}", "train.optimizer.eps: must be > 0, got 0.0"),
        (
            "{name: rprop, lr: 1, weight_decay: 0.1}",
            "train.optimizer.weight_decay: must be 0, because this optimizer has no weight decay, got 0.1",
        ),
        (
            "{name: rprop, lr: 1, etas: [1.2, 0.5]}",
            "train.optimizer: etas must be one number between 0 and 1 and one above 1, got [1.2, 0.5]",
        ),
        (
            "{name: nadam, lr: 1, implementation: fused}",
            "train.optimizer.implementation: expected 'auto' or 'foreach' or 'for-loop', got str 'fused'",
        ),
        (
            "{name: sgd, lr: 1, rules: [{lr_mult: 2}]}",
            "train.optimizer.rules[0].pattern: required, but not set (shell-style glob over the whole dotted name, "
            "like 'backbone.*' or '*.bias'; * crosses dots, case counts)",
        ),
        ("{name: sgd, lr: 1, layer_decay: 1.5}", "train.optimizer.layer_decay: must be from 0 to 1, got 1.5"),
        (
            "{name: lbfgs, lr: 1}",
            "train.optimizer.name: unknown optimizer 'lbfgs'; expected one of " + ", ".join(Optimizer.choices()),
        ),
    ],
)
def test_wrong_values_are_said(text: str, expected: str) -> None:
    (line,) = problems(f"optimizer: {text}")
    assert line == f"f:3: {expected}"


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "adamax", "nadam", "radam"])
def test_momentum_can_be_scheduled(name: str) -> None:
    config = Optimizer.choices()[name](lr=0.1)
    made = config.build(groups())
    made.param_groups[0].update(config.momentum_options(0.25))
    group = made.param_groups[0]
    assert (group["betas"][0] if "betas" in group else group["momentum"]) == 0.25
    assert config.base_momentum() == (0.0 if name == "rmsprop" else 0.9)


@pytest.mark.parametrize("name", ["adagrad", "adadelta", "asgd", "adafactor", "rprop"])
def test_these_have_no_momentum(name: str) -> None:
    assert Optimizer.choices()[name](lr=0.1).base_momentum() is None


def test_an_optimizer_without_a_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^train\.optimizer\.rules: every parameter is frozen"):
        build_optimizer(Small().requires_grad_(False), train_of(SGD(lr=0.1)))
