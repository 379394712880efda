from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fairfight.dictionaries.fit import Job, Plan, Progress, fit, scaling_of
from fairfight.dictionaries.mixing import Mixing
from fairfight.dictionaries.rules import BatchTopKRule, GatedRule, JumpReLURule, ReLURule, TopKRule
from fairfight.dictionaries.trainer import Revival, SaeState, unit_rows
from fairfight.errors import DamagedFileError, NonFiniteError
from fairfight.seeds import torch_stream

WIDTH = 16
PLAN = Plan(steps=60, batch=64)
RATE = 3e-3


def tokens(count: int = 1500) -> torch.Tensor:
    stream = torch_stream("tokens")
    return torch.randn(count, WIDTH, generator=stream) * 3 + torch.randn(WIDTH, generator=stream)


def jobs(*names: str) -> list[Job]:
    rules = {
        "topk": TopKRule(3),
        "batch_topk": BatchTopKRule(3),
        "matryoshka": BatchTopKRule(3, prefixes=(10, 40)),
        "jumprelu": JumpReLURule(0.05, warm_up_steps=20, threshold=0.1, bandwidth=0.2),
        "relu": ReLURule(0.5, warm_up_steps=20),
        "gated": GatedRule(0.5, warm_up_steps=20),
    }
    revival = Revival(after_tokens=640)
    return [
        Job(name, rules[name], 40, RATE, torch_stream("job", name), revival if "topk" in name else None)
        for name in names or rules
    ]


def trained(*names: str, **settings) -> list[SaeState]:
    x = tokens()
    return fit(jobs(*names), Mixing.of_tensor(x, "a"), scaling_of(x), PLAN, **settings)


def same(one: SaeState, other: SaeState) -> bool:
    mine, theirs = one.parameters(), other.parameters()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_together_and_alone_give_the_same_bits() -> None:
    together = trained()
    for index, job in enumerate(jobs()):
        assert same(trained(job.name)[0], together[index]), job.name


def test_every_kind_learns() -> None:
    found: dict[str, list[Progress]] = {}
    trained(watch=lambda progress: found.setdefault(progress.job, []).append(progress), watch_steps=10)
    for name, course in found.items():
        assert course[-1].step == PLAN.steps
        assert course[-1].fvu < 0.9 * course[0].fvu or name in ("relu", "jumprelu", "gated"), name
        assert course[-1].loss < course[0].loss or name in ("relu", "jumprelu", "gated"), name


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("at", [7, 41])
def test_resume_gives_the_same_bits(tmp_path: Path, at: int) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == at:
            raise Interrupted

    whole = trained()
    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        trained(checkpoint=file, checkpoint_seconds=-1, watch=stop, watch_steps=1)
    assert file.is_file()
    resumed = trained(checkpoint=file, checkpoint_seconds=-1)
    assert all(same(one, other) for one, other in zip(whole, resumed, strict=True))
    assert not file.exists()


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(DamagedFileError, match="is no checkpoint of this training"):
        trained("topk", checkpoint=file)


def test_scale_is_folded() -> None:
    x = tokens()
    scaled = 7.0 * x
    one = fit(jobs("jumprelu"), Mixing.of_tensor(x, "a"), scaling_of(x), PLAN)[0]
    other = fit(jobs("jumprelu"), Mixing.of_tensor(scaled, "a"), scaling_of(scaled), PLAN)[0]
    torch.testing.assert_close(other.W_dec, one.W_dec, rtol=0, atol=1e-4)
    for name in ("b_enc", "threshold"):
        torch.testing.assert_close(other.vectors[name], 7.0 * one.vectors[name], rtol=1e-3, atol=1e-3)


def test_goes_on_from_a_state() -> None:
    x = tokens()
    start = trained("gated")[0]
    short = Plan(steps=1, batch=64)
    job = Job("gated", jobs("gated")[0].rule, 40, 1e-12, torch_stream("unused"), start=start)
    onward = fit([job], Mixing.of_tensor(x, "a"), scaling_of(x), short)[0]
    for name, value in start.parameters().items():
        torch.testing.assert_close(onward.parameters()[name], value, rtol=1e-5, atol=1e-5)


def test_nan_is_an_error() -> None:
    x = tokens()
    x[700] = float("nan")
    with pytest.raises(NonFiniteError, match="left the finite numbers at step"):
        fit(jobs("topk"), Mixing.of_tensor(x, "a"), scaling_of(tokens()), PLAN)


@pytest.mark.parametrize("back_end", ["numba", "torch"])
def test_frozen_atoms_stay_and_the_rest_learns(back_end: str) -> None:
    x = tokens()
    job = Job("topk", TopKRule(3), 40, RATE, torch_stream("frozen"), frozen_atoms=True)
    state = fit([job], Mixing.of_tensor(x, "a"), scaling_of(x), PLAN, back_end=back_end)[0]
    start = unit_rows(torch.randn(40, WIDTH, generator=torch_stream("frozen")))
    assert torch.equal(state.W_dec, start)
    assert not torch.allclose(state.W_enc, start, atol=1e-2)
