"""Groups, rules, the rates of a step, and norms that are held."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from vf.engine.optim import (
    build_optimizer,
    hold_frozen_norms,
    load_optimizer_state,
    optimizer_state,
    scaled_lr,
    set_rates,
)
from vf.engine.snapshot import snapshot
from vf.errors import CheckpointError, ConfigError, PluginError
from vf.optimizers import SGD, AdamW, Optimizer, Rule
from vf.schedules import Constant, Linear, OneCycle
from vf.schema import Duration
from vf.training import Train


class Net(nn.Module):
    """``backbone`` (two layers with a norm each) and ``head``."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict(
            {"stem": nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)), "norm": nn.RMSNorm(2)}
        )
        self.head = nn.Linear(2, 2)


class Numbered(Net):
    """As a transformer of one block would number itself: stem 0, block 1, head 2."""

    num_layers: Any = 2

    def layer_id(self, name: str) -> int:
        return 2 if name.startswith("head") else 0 if "stem" in name else 1


def train_of(optimizer: Optimizer, **more: Any) -> Train:
    return Train(**{"length": Duration(10, "steps"), "batch_size": 16, "optimizer": optimizer, **more})


def told(model: nn.Module, optimizer: Optimizer) -> dict[str, tuple[float, float]]:
    """Return parameter name -> (lr_mult, weight_decay) of all that train."""
    names = {id(p): name for name, p in model.named_parameters()}
    made = build_optimizer(model, train_of(optimizer))
    return {names[id(p)]: (g["lr_mult"], g["weight_decay"]) for g in made.param_groups for p in g["params"]}


def test_norms_and_biases_decay_only_on_request() -> None:
    plain = {"backbone.stem.0.bias", "backbone.stem.1.weight", "backbone.stem.1.bias", "backbone.norm.weight"}
    plain |= {"head.bias"}
    got = told(Net(), SGD(lr=0.1, weight_decay=0.5))
    assert {name for name, (_, decay) in got.items() if decay == 0} == plain
    assert {decay for name, (_, decay) in got.items() if name not in plain} == {0.5}
    assert set(told(Net(), SGD(lr=0.1, weight_decay=0.5, decay_norm_and_bias=True)).values()) == {(1.0, 0.5)}


def test_the_first_rule_that_matches_counts() -> None:
    rules = (
        Rule(pattern="*.stem.0.weight", lr_mult=0.5),
        Rule(pattern="backbone.*", lr_mult=0.1, decay_mult=0.0),
        Rule(pattern="head.*", decay_mult=2.0),
    )
    got = told(Net(), SGD(lr=0.1, weight_decay=0.25, rules=rules))
    assert got == {
        "backbone.stem.0.weight": (0.5, 0.25),
        "backbone.stem.0.bias": (0.1, 0.0),
        "backbone.stem.1.weight": (0.1, 0.0),
        "backbone.stem.1.bias": (0.1, 0.0),
        "backbone.norm.weight": (0.1, 0.0),
        "head.weight": (1.0, 0.5),
        "head.bias": (1.0, 0.0),  # twice nothing: a bias does not decay
    }


def test_frozen_parameters_are_not_in_the_optimizer() -> None:
    model = Net()
    rules = (Rule(pattern="backbone.norm.*"), Rule(pattern="backbone.*", frozen=True))
    assert set(told(model, SGD(lr=0.1, rules=rules))) == {"backbone.norm.weight", "head.weight", "head.bias"}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {f"backbone.stem.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")}


def test_rules_without_effect_are_refused_with_what_was_meant() -> None:
    rules = [
        Rule(pattern="backbon.*"),
        Rule(pattern="head.wieght"),
        Rule(pattern="Neck"),
        Rule(pattern="head.*"),
        Rule(pattern="head.weight", lr_mult=2.0),
    ]
    with pytest.raises(ConfigError) as error:
        build_optimizer(Net(), train_of(SGD(lr=0.1, rules=tuple(rules))))
    assert error.value.problems == (
        "train.optimizer.rules[0].pattern: 'backbon.*' matches no parameter of the model; did you mean 'backbone.*' "
        "or 'backbone.stem.*' or 'backbone.norm.*'?",
        "train.optimizer.rules[1].pattern: 'head.wieght' matches no parameter of the model; did you mean "
        "'head.weight' or 'head.bias'?",
        "train.optimizer.rules[2].pattern: 'Neck' matches no parameter of the model; names are like "
        "backbone.stem.0.weight, backbone.stem.0.bias, backbone.stem.1.weight, … (7 in all)",
        "train.optimizer.rules[4].pattern: 'head.weight' comes too late: head.* took all that it matches; put it first",
    )


def test_freezing_everything_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        build_optimizer(Net(), train_of(SGD(lr=0.1, rules=(Rule(pattern="*", frozen=True),))))
    assert error.value.problems == ("train.optimizer.rules: every parameter is frozen; leave some to train",)


def test_layers_far_from_the_output_learn_slowly() -> None:
    rules = (Rule(pattern="backbone.stem.0.*", lr_mult=0.1),)
    got = told(Numbered(), AdamW(lr=0.1, layer_decay=0.5, rules=rules))
    assert {name: lr_mult for name, (lr_mult, _) in got.items()} == pytest.approx(
        {
            "backbone.stem.0.weight": 0.025,
            "backbone.stem.0.bias": 0.025,
            "backbone.stem.1.weight": 0.25,
            "backbone.stem.1.bias": 0.25,
            "backbone.norm.weight": 0.5,
            "head.weight": 1.0,
            "head.bias": 1.0,
        }
    )


def test_layer_decay_needs_a_model_that_numbers_its_layers() -> None:
    with pytest.raises(ConfigError) as error:
        build_optimizer(Net(), train_of(SGD(lr=0.1, layer_decay=0.5)))
    assert error.value.problems == (
        "train.optimizer.layer_decay: the model Net does not number its layers (layer_id and num_layers); "
        "leave it out, or give train.optimizer.rules with lr_mult",
    )


def test_a_model_that_numbers_a_layer_too_high_is_refused() -> None:
    model = Numbered()
    model.num_layers = 1
    with pytest.raises(PluginError) as error:
        build_optimizer(model, train_of(SGD(lr=0.1, layer_decay=0.5)))
    assert error.value.problems == ("model Numbered: layer_id('head.weight') must be from 0 to num_layers = 1, got 2",)


def rates(train: Train, count: int = 10) -> list[tuple[float, float, list[float]]]:
    """Return (lr told, momentum, lr of each group) for each step."""
    optimizer = build_optimizer(Net(), train)
    got = []
    for step in range(count):
        told = set_rates(optimizer, train, step, 10, 5)
        groups = optimizer.param_groups
        (momentum,) = {g["betas"][0] if "betas" in g else g["momentum"] for g in groups}
        got.append((told, momentum, [g["lr"] for g in groups]))
    return got


def test_each_group_has_its_part_of_the_rate() -> None:
    rules = (Rule(pattern="backbone.*", lr_mult=0.5),)
    got = rates(train_of(SGD(lr=0.2, rules=rules), schedule=Linear()))
    assert [told for told, _, _ in got] == pytest.approx([0.2 * (1 - i / 10) for i in range(10)])
    for told, momentum, groups in got:
        assert momentum == 0.9
        assert groups == pytest.approx([told / 2, told])


def test_a_schedule_of_the_momentum_is_a_factor() -> None:
    falling = Linear(end=0.5, warmup=Duration(2, "steps"), warmup_start=0.0)
    got = rates(train_of(AdamW(lr=0.1, betas=(0.8, 0.99)), momentum_schedule=falling))
    assert [m for _, m, _ in got] == pytest.approx([0.4, 0.8, *(0.8 * (1 - i / 16) for i in range(8))])
    assert {told for told, _, _ in got} == {0.1}


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.7), AdamW(lr=0.1)])
def test_a_cycle_moves_the_momentum_against_the_rate(optimizer: Optimizer) -> None:
    cycle = OneCycle(peak_at=0.5, momentum=(0.95, 0.85))
    got = rates(train_of(optimizer, schedule=cycle))
    peak = max(range(10), key=lambda i: got[i][0])
    assert (peak, got[peak][0]) == (4, pytest.approx(0.1))
    assert [got[i][1] for i in (0, 2, 4, 9)] == pytest.approx([0.95, 0.9, 0.85, 0.95])


def test_rates_are_a_function_of_the_step_alone() -> None:
    train = train_of(SGD(lr=0.1), schedule=OneCycle(momentum=(0.95, 0.85)))
    optimizer = build_optimizer(Net(), train)
    whole = rates(train)
    for step in (7, 2, 9, 0):
        assert set_rates(optimizer, train, step, 10, 5) == whole[step][0]
        assert {g["momentum"] for g in optimizer.param_groups} == {whole[step][1]}


@pytest.mark.parametrize(
    ("tuned", "lr", "line"),
    [
        (None, 0.01, "lr 0.01"),
        (64, 0.0025, "lr 0.01 → 0.0025: 16 images a step, tuned for 64"),
        (16, 0.01, "lr 0.01 → 0.01: 16 images a step, tuned for 16"),
        (8, 0.02, "lr 0.01 → 0.02: 16 images a step, tuned for 8"),
    ],
)
def test_the_rate_follows_the_batch_size(tuned: int | None, lr: float, line: str) -> None:
    train = train_of(SGD(lr=0.01), auto_scale_lr=tuned, schedule=Constant())
    assert scaled_lr(train) == (pytest.approx(lr), line)
    assert {told for told, _, _ in rates(train)} == {scaled_lr(train)[0]}


def test_frozen_norms_keep_their_statistics() -> None:
    model = Net()
    build_optimizer(model, train_of(SGD(lr=0.1, rules=(Rule(pattern="*.stem.1.*", frozen=True),))))
    norm = model.backbone["stem"][1]  # type: ignore[index]
    before = norm.running_mean.clone()
    model.train()
    hold_frozen_norms(model)
    assert [name for name, m in model.named_modules() if not m.training] == ["backbone.stem.1"]
    model.backbone["stem"](torch.ones(2, 3, 4, 4))
    assert torch.equal(norm.running_mean, before)


def test_norms_that_train_or_have_no_weights_are_not_held() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False), nn.Conv2d(2, 2, 1))
    model[0].bias.requires_grad_(False)  # the weight still trains
    model[2].requires_grad_(False)
    hold_frozen_norms(model.train())
    assert all(m.training for m in model.modules())


def test_state_of_another_model_is_refused() -> None:
    model = Net()
    optimizer = build_optimizer(model, train_of(SGD(lr=0.1, rules=(Rule(pattern="backbone.*", frozen=True),))))
    with pytest.raises(CheckpointError) as error:
        load_optimizer_state(optimizer, model, {"head.weight": {}, "backbone.norm.weight": {}})
    assert error.value.problems == (
        "the optimizer state does not fit the model: parameters only in the checkpoint: backbone.norm.weight; "
        "only in the model: head.bias",
    )


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of this process only."""
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("implementation", ["auto", "fused"])
def test_the_state_of_sharded_weights_goes_back_into_shards(implementation: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    train = train_of(AdamW(lr=0.1, implementation=implementation, rules=(Rule(pattern="0.bias", frozen=True),)))
    fully_shard(model)
    optimizer = build_optimizer(model, train)
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
    saved = snapshot(optimizer_state(optimizer, model))
    other = build_optimizer(model, train)
    load_optimizer_state(other, model, saved)
    other.step()  # takes plain tensors for none of them
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor)
        if parameter.requires_grad:
            assert isinstance(other.state[parameter]["exp_avg"], DTensor), name
            assert other.state[parameter]["step"] == 2
