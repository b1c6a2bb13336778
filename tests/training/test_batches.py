"""Batches: every row appears exactly once an epoch, in its order, with the weight it should have."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqdyn.state import leaves
from seqdyn.training.batches import ORDERS, Batch, Batches, Padded, Rows, Spans, cut_windows
from seqdyn.training.pairs import Pairs
from seqdyn.training.streams import Streams
from tests.training.series import noise, numbered

Lengths = st.lists(st.integers(1, 12), min_size=1, max_size=7)
QUICKLY = settings(deadline=None, max_examples=150)


def rows(lengths: list[int], weighted: bool) -> Rows:
    """Rows that know their numbers; weights are random, some of them 0."""
    plain = numbered(lengths)
    weight = noise(lengths, inputs=1, targets=1, weighted=True).weight if weighted else None
    return plain._replace(weight=weight).rows()


def expected(lengths: list[int], own: Rows, warmup: Any, fresh: set[int]) -> dict[int, float]:
    """What every row should count: its own weight, and 0 in the warm-up after a fresh start."""
    counts, age, row = {}, 0, 0
    for series, length in enumerate(lengths):
        for _ in range(length):
            age = 0 if row in fresh else age + 1
            weight = 1.0 if own.weight is None else float(own.weight[row])
            counts[row] = weight if age >= int(warmup[series]) else 0.0
            row += 1
    return counts


def seen(batch: Batch) -> list[list[tuple[int, float]]]:
    """(row number, weight) at every step of every row of a batch that is there."""
    numbers = batch.x[..., 0].round().long()
    assert torch.equal(batch.x, batch.y), "inputs and targets come from the same row"
    weight = torch.ones_like(batch.x) if batch.weight is None else batch.weight
    assert weight.shape == batch.x.shape and weight.isfinite().all()
    there = torch.ones_like(numbers, dtype=torch.bool) if batch.mask is None else batch.mask
    assert not weight[..., 0][~there].any(), "padding counts nothing"
    return [
        [(int(n), float(w)) for n, w, t in zip(*row, strict=True) if t]
        for row in zip(numbers, weight[..., 0], there, strict=True)
    ]


# --- whole sequences and windows -----------------------------------------------------------------------------------


@QUICKLY
@given(Lengths, st.integers(1, 9), st.lists(st.integers(0, 5), min_size=7, max_size=7), st.booleans())
def test_spans_show_every_row_once(lengths: list[int], batch_size: int, warmups: list[int], weighted: bool) -> None:
    """Each epoch shows each sequence once, whole and in order, with its weights, in batches of ``batch_size``."""
    own, warmup = rows(lengths, weighted), torch.tensor(warmups[: len(lengths)])
    spans = Spans(own, batch_size, warmup)
    counts = expected(lengths, own, warmup, set(own.starts.tolist()))
    for _ in range(3):
        batches = list(spans.epoch(torch.Generator().manual_seed(0)))
        assert len(batches) == len(spans)
        sizes = sorted(len(batch.x) for batch in batches)
        assert sizes[1:] == [batch_size] * (len(batches) - 1) and 0 < sizes[0] <= batch_size
        shown = [row for batch in batches for row in seen(batch)]
        assert sorted([number for number, _ in row] for row in shown) == [
            list(range(start, start + length)) for start, length in zip(own.starts.tolist(), lengths, strict=True)
        ]
        assert {number: weight for row in shown for number, weight in row} == pytest.approx(counts)


def test_spans_come_in_a_new_order_every_epoch() -> None:
    """Drawn from the generator given, and from no other."""
    spans = Spans(numbered([3] * 50).rows(), 10, torch.zeros(50, dtype=torch.long))

    def orders(seed: int) -> list[list[float]]:
        generator = torch.Generator().manual_seed(seed)
        return [[float(x) for batch in spans.epoch(generator) for x in batch.x[:, 0, 0]] for _ in range(3)]

    before = torch.random.get_rng_state()
    first = orders(0)
    assert first == orders(0)
    assert len({tuple(order) for order in (*first, *orders(1))}) == 6
    assert torch.equal(torch.random.get_rng_state(), before)


def test_spans_of_one_length_need_no_mask_and_no_weights() -> None:
    """Nothing is masked or weighed where nothing is missing."""
    batch = next(iter(Spans(numbered([4, 4]).rows(), 8, torch.zeros(2, dtype=torch.long)).epoch(torch.Generator())))
    assert batch.mask is None and batch.weight is None and batch.reset is None and not batch.follows


@QUICKLY
@given(Lengths, st.integers(1, 12), st.integers(1, 12))
def test_windows(lengths: list[int], window: int, stride: int) -> None:
    """Windows lie inside their series, are as long as they can be, advance by stride and end with the series."""
    own = numbered(lengths).rows()
    starts, sizes = cut_windows(own.starts, own.lengths, window, stride)
    found: dict[int, list[tuple[int, int]]] = {series: [] for series in range(len(lengths))}
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        series = int(torch.searchsorted(own.starts, start, right=True)) - 1
        found[series].append((start - int(own.starts[series]), size))
    for series, length in enumerate(lengths):
        offsets = [offset for offset, _ in found[series]]
        assert all(size == min(window, length) for _, size in found[series])
        assert offsets[0] == 0 and offsets[-1] + min(window, length) == length
        steps = [after - before for before, after in pairwise(offsets)]
        assert all(step == stride for step in steps[:-1]) and all(0 < step <= stride for step in steps)
        if stride <= window:
            covered = {row for offset, size in found[series] for row in range(offset, offset + size)}
            assert covered == set(range(length))


@QUICKLY
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 5))
def test_windows_side_by_side_show_every_row_once(counts: list[int], window: int) -> None:
    """With stride = window and lengths that divide, an epoch of windows is an epoch of rows."""
    own = numbered([count * window for count in counts]).rows()
    starts, sizes = cut_windows(own.starts, own.lengths, window, window)
    spans = Spans(own.part(starts, sizes), 3, torch.zeros(len(starts), dtype=torch.long))
    shown = [number for batch in spans.epoch(torch.Generator()) for row in seen(batch) for number, _ in row]
    assert sorted(shown) == list(range(sum(counts) * window))


# --- streams -------------------------------------------------------------------------------------------------------


@QUICKLY
@given(
    Lengths,
    st.integers(1, 6),
    st.integers(1, 20),
    st.lists(st.integers(0, 5), min_size=7, max_size=7),
    st.booleans(),
)
def test_streams_show_every_row_once(
    lengths: list[int], streams: int, chunk: int, warmups: list[int], weighted: bool
) -> None:
    """Chunk after chunk each stream walks on in time; nothing is left out, shown twice, or counted in the warm-up."""
    own, warmup = rows(lengths, weighted), torch.tensor(warmups[: len(lengths)])
    total, streams = sum(lengths), min(streams, sum(lengths))
    plan = Streams(own, streams, chunk, warmup)
    length = -(-total // streams)
    fresh = {*own.starts.tolist(), *range(0, total, length)}
    counts = expected(lengths, own, warmup, fresh)
    for _ in range(2):
        batches = list(plan.epoch(torch.Generator()))
        assert len(batches) == len(plan)
        walked: list[list[int]] = [[] for _ in range(streams)]
        for index, batch in enumerate(batches):
            assert batch.mask is None and batch.follows == (index > 0)
            assert batch.x.shape[0] == streams and batch.x.shape[1] <= chunk
            assert batch.counts == (batch.weight is None or bool(batch.weight.any()))
            reset = torch.zeros(batch.x.shape[:2], dtype=torch.bool) if batch.reset is None else batch.reset
            for stream, row in enumerate(seen(batch)):
                for step, (number, weight) in enumerate(row):
                    place = stream * length + index * chunk + step
                    if place >= total:  # past the end: some row stands there, and counts nothing
                        assert weight == 0
                        continue
                    walked[stream].append(number)
                    assert weight == pytest.approx(counts[number])
                    begins = number in fresh and not (index == 0 and step == 0)
                    assert bool(reset[stream, step]) == begins
        assert [number for stream in walked for number in stream] == list(range(total))


def test_streams_without_a_series_that_is_held_out() -> None:
    """Series that are not among the rows' spans never appear."""
    own = numbered([5, 4, 6]).rows()
    plan = Streams(own.part(own.starts[::2], own.lengths[::2]), 2, 3, torch.zeros(2, dtype=torch.long))
    shown = {number for batch in plan.epoch(torch.Generator()) for row in seen(batch) for number, w in row if w}
    assert shown == {*range(5), *range(9, 15)}


@pytest.mark.parametrize("streams", [0, 16])
def test_more_streams_than_rows(streams: int) -> None:
    """An error that says how many there may be."""
    with pytest.raises(ValueError, match=f"between 1 and the 15 rows of the training data, got {streams}"):
        Streams(numbered([5, 4, 6]).rows(), streams, 3, torch.zeros(3, dtype=torch.long))


# --- buckets -------------------------------------------------------------------------------------------------------


def log_normal(seed: int, count: int = 2000) -> Tensor:
    """Lengths as those of sentences: log-normal, 3 to 100."""
    draws = np.random.default_rng(seed).lognormal(3.0, 0.6, count)
    return torch.as_tensor(draws.clip(3, 100).astype(np.int64))


def padded_share(batches: list[tuple[int, int, int]]) -> float:
    """The share of padding, from (rows, steps, steps that are there) of each batch."""
    return 1 - sum(there for _, _, there in batches) / sum(size * time for size, time, _ in batches)


@pytest.mark.parametrize("seed", range(3))
def test_buckets_leave_little_padding(seed: int) -> None:
    """Of sequences of log-normal lengths below 5 % of the rows of an epoch, in batches of 32; shuffled, over half."""
    lengths = log_normal(seed)
    own = Rows.of([torch.zeros(int(n), 1) for n in lengths])
    shares = {}
    for order in ORDERS:
        epoch = list(Spans(own, 32, order=order).epoch(torch.Generator().manual_seed(seed)))
        shares[order] = padded_share([(*b.x.shape[:2], int(b.mask.sum())) for b in epoch if b.mask is not None])
    assert shares["bucketed"] < 0.05 < 0.5 < shares["shuffled"]


def test_buckets_of_pairs_leave_little_padding_on_both_sides() -> None:
    """Targets about as long as their sources; the mean of both sides stays below 12 %, shuffled it is over half."""
    lengths = log_normal(0)
    scatter = np.random.default_rng(1).lognormal(0.0, 0.2, len(lengths))
    others = torch.as_tensor((lengths.numpy() * scatter).clip(2, 110).astype(np.int64))
    source, target = (Rows.of([torch.zeros(int(n), 1) for n in side]) for side in (lengths, others))
    shares = {}
    for order in ORDERS:
        epoch = list(Pairs(source, target, 32, order).epoch(torch.Generator().manual_seed(0)))
        sides = [
            (*mask.shape, int(mask.sum())) for batch in epoch for mask in (batch.mask, batch.y.mask) if mask is not None
        ]
        shares[order] = padded_share(sides)
    assert shares["bucketed"] < 0.12 < 0.5 < shares["shuffled"]


def test_buckets_differ_from_epoch_to_epoch() -> None:
    """Batches of one epoch are others in the next (a few extremes aside), and long ones do not come last."""
    lengths = log_normal(0)
    plan = Spans(Rows.of([torch.full((int(n), 1), float(i)) for i, n in enumerate(lengths)]), 32)
    generator = torch.Generator().manual_seed(0)
    epochs = [[frozenset(batch.x[:, 0, 0].tolist()) for batch in plan.epoch(generator)] for _ in range(2)]
    assert len(set(epochs[0]) & set(epochs[1])) < 0.1 * len(plan)
    assert {i for batch in epochs[1] for i in batch} == set(range(len(lengths)))
    longest = [max(int(lengths[int(i)]) for i in batch) for batch in epochs[0]]
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.4


# --- trees, pictures, tokens, pairs --------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[6, 6], [6, 4]])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), ()])
def test_leaves_of_any_shape_keep_it(lengths: list[int], shape: tuple[int, ...]) -> None:
    """Pictures (batch, time, height, width) and tokens (batch, time), in trees, of like and of unlike lengths."""
    total = sum(lengths)
    x = torch.arange(total * math.prod(shape)).view(total, *shape)
    rows = Rows.of(list(x.split(lengths)), [{"next": part.float(), "all": (part,)} for part in x.split(lengths)])
    assert rows.dtype == torch.float32 and len(rows) == total
    batch = next(iter(Spans(rows, 2).epoch(torch.Generator())))
    chunk = next(iter(Streams(rows, 1, 5).epoch(torch.Generator())))
    assert batch.x.shape == (2, 6, *shape) and chunk.x.shape == (1, 5, *shape)
    order = [0, 1] if torch.equal(batch.x[0, 0], x[0]) else [1, 0]
    for row, number in enumerate(order):
        own = x.split(lengths)[number]
        assert torch.equal(batch.x[row, : len(own)], own)
        assert torch.equal(batch.y["next"][row, : len(own)], own.float())
        assert torch.equal(batch.y["all"][0][row, : len(own)], own)


def test_pairs_have_a_mask_on_both_sides() -> None:
    """Every pair once, each side whole, behind it padding without weight."""
    sources = [torch.arange(n) + 100 * n for n in (3, 1, 5, 2)]
    targets = [torch.arange(n) + 1000 * n for n in (2, 6, 1, 4)]
    weight = [torch.full((len(part),), float(i)) for i, part in enumerate(targets)]
    found = {}
    for batch in Pairs(Rows.of(sources), Rows.of(targets, weight=weight), 3).epoch(torch.Generator().manual_seed(1)):
        assert isinstance(batch.y, Padded) and batch.mask is not None and batch.weight is not None
        for x, mask, y, there, counts in zip(
            batch.x, batch.mask, batch.y.value, batch.y.mask, batch.weight, strict=True
        ):
            assert not counts[~there].any()
            found[tuple(x[mask].tolist())] = (y[there].tolist(), counts[there].tolist())
    assert found == {
        tuple(x.tolist()): (y.tolist(), w.tolist()) for x, y, w in zip(sources, targets, weight, strict=True)
    }
    with pytest.raises(ValueError, match="4 sources stand beside 3 targets"):
        Pairs(Rows.of(sources), Rows.of(targets[:3]), 2)


# --- an epoch from its middle, and shares of workers ---------------------------------------------------------------


PLANS: dict[str, Callable[[], Batches]] = {
    "spans": lambda: Spans(rows([3, 7, 2, 9, 4, 4, 1], True), 3),
    "one batch": lambda: Spans(rows([3, 7, 2], False), 8),
    "shuffled": lambda: Spans(rows([5] * 7, False), 2, order="shuffled"),
    "streams": lambda: Streams(rows([3, 7, 2, 9, 4, 4, 1], True), 4, 3),
    "pairs": lambda: Pairs(rows([3, 7, 2, 9, 4], False), rows([2, 2, 8, 1, 5], True), 2),
}


def tensors(batch: Batch) -> list[Tensor]:
    """All of a batch."""
    return [leaf for leaf in (*leaves(batch[:2]), batch.weight, batch.mask, batch.reset) if leaf is not None]


@pytest.mark.parametrize("name", PLANS)
def test_an_epoch_goes_on_from_its_middle(name: str) -> None:
    """From any batch on, with the generator as it was at the beginning; it is left where a whole epoch leaves it."""
    plan, whole = PLANS[name](), torch.Generator().manual_seed(3)
    batches = list(plan.epoch(whole))
    assert len(batches) == len(plan)
    for start in range(len(plan) + 1):
        generator = torch.Generator().manual_seed(3)
        rest = list(plan.epoch(generator, start))
        assert len(rest) == len(plan) - start and [b.follows for b in rest] == [b.follows for b in batches[start:]]
        for one, other in zip(rest, batches[start:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))
        assert torch.equal(generator.get_state(), whole.get_state())


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("name", PLANS)
def test_workers_share_the_rows_of_every_batch(name: str, world: int) -> None:
    """As many batches, in the same order; together the same inputs, each once; for an idle worker nothing counts."""

    def shown(batch: Batch) -> list[Any]:
        there = torch.ones(batch.x.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask
        return [x[mask].tolist() for x, mask in zip(batch.x, there, strict=True)] if batch.counts else []

    plan = PLANS[name]()
    shares = [list(plan.shard(rank, world).epoch(torch.Generator().manual_seed(3))) for rank in range(world)]
    for whole, *parts in zip(plan.epoch(torch.Generator().manual_seed(3)), *shares, strict=True):
        together = [row for part in parts for row in shown(part)]
        assert sorted(map(str, together)) == sorted(map(str, shown(whole)))
    with pytest.raises(ValueError, match=f"rank must lie between 0 and world - 1 = {world - 1}"):
        plan.shard(world, world)


@pytest.mark.parametrize(
    ("x", "y", "weight", "message"),
    [
        ([], None, None, "x holds no sequence"),
        ([3, 5], [5, 3], None, "Sequence 0 has unlike numbers of steps, or none: x 3, y 5"),
        ([3, 5], [3], None, "y holds 1 sequences, x 2"),
        ([3, 0], [3, 0], None, "Sequence 1 has unlike numbers of steps, or none: x 0, y 0"),
        ([3, 5], [3, 5], [3, 4], "Sequence 1 .* x 5, y 5, weight 4"),
    ],
    ids=["nothing", "swapped", "fewer", "empty", "weight"],
)
def test_rows_of_unlike_lengths(x: Any, y: Any, weight: Any, message: str) -> None:
    """Errors name the sequence, and all its lengths."""
    parts = (None if own is None else [torch.zeros(length, 2) for length in own] for own in (x, y, weight))
    with pytest.raises(ValueError, match=message):
        Rows.of(*parts)


# --- what they show ---------------------------------------------------------------------------------------------------


def test_batches_show_shapes_and_plans() -> None:
    """In one line, without numbers."""
    rows = Rows.of([torch.zeros(3, 2), torch.zeros(5, 2)])
    spans = Spans(rows, 2)
    assert repr(spans) == "Spans(spans=2, batch_size=2, batches=1)"
    assert repr(Streams(rows, 2, 3)) == "Streams(streams=2, chunk=3, batches=2)"
    assert repr(Pairs(rows, rows, 1)) == "Pairs(pairs=2, batch_size=1, batches=2)"
    assert repr(rows).startswith("Rows(series=2, rows=8, x=") and "(8, 2)" in repr(rows)
    batch = next(spans.epoch(torch.Generator()))
    assert "(2, 5, 2)" in repr(batch) and "tensor(" not in repr(batch) and "0." not in repr(batch)
    assert "<table>" in spans._repr_html_()  # type: ignore[attr-defined]


def test_windows_of_many_series_are_those_of_each() -> None:
    """Cut together as they are alone, one by one: every start that is a multiple of the stride, and the last."""
    lengths = torch.tensor([1, 4, 5, 9, 10, 11, 30])
    starts = lengths.cumsum(0) - lengths + 3
    for window, stride in [(4, 3), (5, 5), (1, 1), (4, 100), (40, 2)]:
        expected = []
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            size = min(window, length)
            firsts = sorted({*range(0, length - size + 1, stride), length - size})
            expected += [(start + first, size) for first in firsts]
        found = cut_windows(starts, lengths, window, stride)
        assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected
