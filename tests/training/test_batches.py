"""Batches: every row appears exactly once an epoch, in its order, with the weight it should have."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.training.batches import Batch, Rows, Spans, Streams, windows
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
    starts, sizes = windows(own.starts, own.lengths, window, stride)
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
    starts, sizes = windows(own.starts, own.lengths, window, window)
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
