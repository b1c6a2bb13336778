"""The laws, as plain functions of any cell and an input for it: ``check_split(cell, x)``.

x is (batch, time, *inputs) in the dtype of the cell, or a tree of such, with at least 3 rows and 12 steps. To hold
a cell of your own against them::

    from tests.laws.cells import Entry, prepare
    from tests.laws.laws import LAWS

    @pytest.mark.parametrize("law", LAWS)
    def test_my_cell(law):
        law(*prepare(Entry("mine", lambda generator: Mine(3, 4))))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.dynamics.derivatives import autodiff_block, autodiff_jacobian, record_jacobian
from seqdyn.loops import Scan, rollout, scan
from seqdyn.loops import unroll as unroll_or_loop
from seqdyn.scores import Attentive
from seqdyn.state import State, detach, flatten, hold, is_held, leaves, map_leaves, named_leaves, stack, unflatten

NOTHING = torch.nan
"""What stands in the padding: ruinous if it is ever read. Of whole numbers it is −1."""


def check_split(cell: Cell, x: Any) -> None:
    """A whole is its two halves, wherever it is cut, with marks too."""
    batch, time = extents(x)
    for mask, reset in [(None, None), (ragged(batch, time), None), (holes(batch, time), resets(batch, time))]:
        for run in (scan, loop):
            whole = run(cell, x, mask=mask, reset=reset)
            for at in (1, time // 2, time - 1):
                left = run(cell, steps(x, 0, at), mask=steps(mask, 0, at), reset=steps(reset, 0, at))
                right = run(
                    cell, steps(x, at, time), left.state, mask=steps(mask, at, time), reset=steps(reset, at, time)
                )
                joined = map_leaves(lambda a, b: torch.cat([a, b], 1), left.output, right.output)
                close(valid(joined, mask), valid(whole.output, mask), f"output, cut at {at}")
                close(right.state, whole.state, f"state, cut at {at}")


def check_stream(cell: Cell, x: Any) -> None:
    """A scan is the loop over steps that anybody would write by hand."""
    batch, time = extents(x)
    for start in (None, some_state(cell, batch)):
        state, outputs = cell.initial_state(batch) if start is None else start, []
        for t in range(time):
            output, state = cell(map_leaves(lambda leaf, t=t: leaf[:, t], x), state)
            outputs.append(output)
        for run in (scan, loop):
            result = run(cell, x, start)
            close(result.output, stack(outputs), "output")
            close(result.state, state, "state")


def check_padding(cell: Cell, x: Any) -> None:
    """A masked batch is each series alone, whatever stands in the padding and wherever the holes are."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    for mask in (ragged(batch, time), ragged(batch, time).flip(1), holes(batch, time), at_random(batch, time)):
        outputs, state = alone(cell, x, start, mask)
        for padded, run in ((fill(x, mask, NOTHING), scan), (fill(x, mask, NOTHING), loop), (x, scan)):
            result = run(cell, padded, start, mask=mask)
            close(valid(result.output, mask), outputs, "output at the steps that are there")
            close(result.state, state, "state after the last valid step")
            assert all(leaf.isfinite().all() for leaf in leaves(result.output)), "outputs at masked steps: finite"
    for run in (scan, loop):
        nobody = run(cell, x, start, mask=torch.zeros(batch, time, dtype=torch.bool))
        close(nobody.state, start, "state where nothing is there", tolerance=0)


def check_padding_gradients(cell: Cell, x: Any) -> None:
    """The gradients of a masked batch are the sums over its series alone; the padding has none."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    mask = ragged(batch, time)
    x = fill(x, mask, NOTHING)

    def separately(x: Any, start: State) -> tuple[Any, State]:
        return alone(cell, x, start, mask)

    expected = gradients(cell, x, start, separately)
    for run in (scan, loop):

        def together(x: Any, start: State, run: Run = run) -> tuple[Any, State]:
            result = run(cell, x, start, mask=mask)
            return valid(result.output, mask), result.state

        close(gradients(cell, x, start, together), expected, "gradient", tolerance=1e-10)


def check_reset(cell: Cell, x: Any) -> None:
    """A reset is a fresh scan from there; a reset at a step that is not there does not happen."""
    batch, time = extents(x)
    start, reset, at = some_state(cell, batch), resets(batch, time), time // 3
    for mask in (None, ragged(batch, time), holes(batch, time), at_random(batch, time)):
        outputs, state = alone(cell, x, start, mask, reset)
        for run in (scan, loop):
            result = run(cell, x, start, mask=mask, reset=reset)
            close(valid(result.output, mask), outputs, "output")
            close(result.state, state, "state")
    for run in (scan, loop):
        everywhere = torch.zeros(batch, time, dtype=torch.bool)
        everywhere[:, at] = True
        result, fresh = run(cell, x, start, reset=everywhere), run(cell, steps(x, at, time))
        close(steps(result.output, at, time), fresh.output, "output after a reset of all rows")
        close(result.state, fresh.state, "state after a reset of all rows")


def check_batch(cell: Cell, x: Any) -> None:
    """Rows do not talk to each other: not even NaN in one of them reaches the others."""
    batch, time = extents(x)
    order = torch.tensor([*range(1, batch), 0])
    for start in (None, some_state(cell, batch)):
        for mask in (None, ragged(batch, time)):
            for run in (scan, loop):
                whole = run(cell, x, start, mask=mask)
                there = rows(mask, order)
                moved = run(cell, rows(x, order), rows(start, order), mask=there)
                close(valid(moved.output, there), valid(rows(whole.output, order), there), "output, another order")
                close(moved.state, rows(whole.state, order), "state, rows in another order")
                ruined = run(cell, poison(x), poison(start), mask=mask)
                others = torch.arange(1, batch)
                for output in (ruined.output, whole.output):
                    seen = valid(rows(output, others), rows(mask, others))
                    close(seen, valid(rows(whole.output, others), rows(mask, others)), "output of the others")
                close(rows(ruined.state, others), rows(whole.state, others), "state of the others")
    first = cell.initial_state(1)
    for row in range(batch):
        close(rows(cell.initial_state(batch), torch.tensor([row])), first, "initial state of a row", tolerance=0)


def check_causality(cell: Cell, x: Any) -> None:
    """The future does not change the past, and the past has no gradient from it."""
    batch, time = extents(x)
    for run in (scan, loop):
        whole = run(cell, x)
        for at in (1, time // 2, time - 1):
            future = map_leaves(lambda leaf, at=at: torch.cat([leaf[:, :at], other(leaf[:, at:])], 1), x)
            changed = run(cell, future)
            close(steps(changed.output, 0, at), steps(whole.output, 0, at), f"output before step {at}")

        def past(x: Any, state: State, run: Run = run) -> tuple[Any, State]:
            return steps(run(cell, x, state).output, 0, time // 2), ()

        leaves_in_time = {name for name, leaf in named_leaves((x,)) if not is_held(leaf)}  # the state's come second
        for name, slope in gradients(cell, x, some_state(cell, batch), past).items():
            if name in leaves_in_time:
                close(slope[:, time // 2 :], torch.zeros_like(slope[:, time // 2 :]), f"gradient of {name}")


def check_force(cell: Cell, x: Any) -> None:
    """Forcing the own trajectory changes nothing; clamping a neuron clamps it; t counts from the call."""
    batch, time = extents(x)
    start, calls = some_state(cell, batch), []
    for mask in (None, holes(batch, time)):
        free = scan(cell, x, start, mask=mask, record=lambda x, before, output, after: before)

        def retrace(t: int, state: State, free: Scan = free) -> State:
            calls.append(t)
            return map_leaves(lambda leaf: leaf[:, t], free.record)

        forced = scan(cell, x, start, mask=mask, force=retrace)
        close(valid(forced.output, mask), valid(free.output, mask), "output, forced along its own trajectory")
        close(forced.state, free.state, "state, forced along its own trajectory")
        nudged = scan(cell, x, start, mask=mask, force=lambda t, state: state)
        close(nudged, forced._replace(record=None), "a force that does nothing")
    assert calls == [*range(time), *range(time)], "t counts the steps of this call, from 0"
    if size(start):
        check_clamp(cell, x, start)


def check_clamp(cell: Cell, x: Any, start: State) -> None:
    """Hold the first number of the state at 0.25 t: every step sees it there, as in a loop by hand."""
    batch, time = extents(x)

    def neuron(state: State) -> Tensor:
        return next(leaf for leaf in leaves(state) if leaf.numel()).view(batch, -1)[:, 0]

    def clamp(t: int, state: State) -> State:
        state = map_leaves(lambda leaf: leaf.clone(memory_format=torch.contiguous_format), state)
        neuron(state).fill_(0.25 * t)
        return state

    mask = holes(batch, time)
    result = scan(cell, x, start, mask=mask, force=clamp, record=lambda x, before, *_: neuron(before))
    expected = 0.25 * torch.arange(time).to(result.record)
    close(result.record, expected.expand(batch, time), "the clamped neuron", tolerance=0)
    state = start
    for t in range(time):
        output, after = cell(map_leaves(lambda leaf, t=t: leaf[:, t], x), clamp(t, state))
        state = map_leaves(lambda new, old, t=t: where(mask[:, t], new, old), after, state)
        there = mask[:, t].nonzero().flatten()
        close(rows(map_leaves(lambda leaf, t=t: leaf[:, t], result.output), there), rows(output, there), "output")
    close(result.state, state, "state under a clamp")


def check_fast_path(cell: Cell, x: Any) -> None:
    """The kernel is the loop: values, final state and all gradients, with and without marks."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    mask, reset = holes(batch, time), resets(batch, time)
    for marks in (
        {},
        {"mask": ragged(batch, time)},
        {"mask": mask},
        {"reset": reset},
        {"mask": mask, "reset": reset},
        {"mask": torch.ones_like(mask), "reset": torch.zeros_like(reset)},
    ):
        compare_paths(cell, x, start, **marks)
    compare_paths(cell, x, None)
    compare_paths(cell, x, None, mask=mask, reset=reset)


def compare_paths(cell: Cell, x: Any, start: State | None, mask: Any = None, reset: Any = None) -> None:
    """Outputs at valid steps, final state and gradients of the two paths."""

    def outcome(run: Run) -> tuple[Any, dict[str, Tensor]]:
        found = []

        def values(x: Any, state: State) -> tuple[Any, State]:
            result = run(cell, x, None if start is None else state, mask=mask, reset=reset)
            found.append((valid(result.output, mask), result.state))
            return found[0]

        slopes = gradients(cell, x, cell.initial_state(len(leaves(x)[0])) if start is None else start, values)
        return found[0], slopes

    fast, slow = outcome(scan), outcome(loop)
    close(fast[0][0], slow[0][0], "output")
    close(fast[0][1], slow[0][1], "state")
    close(fast[1], slow[1], "gradient", tolerance=1e-10)


def check_kernel(cell: Cell, x: Any) -> None:
    """``unroll`` itself, called as a composite cell calls it, for every length from one step on."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    for length in {1, 2, 5, time - 1, time}:
        piece = steps(x, 0, length)
        for mask in (None, ragged(batch, time)[:, :length]):
            expected = loop(cell, piece, start, mask=mask)
            for unroll in (cell.unroll, lambda x, state, mask: unroll_or_loop(cell, x, state, mask)):
                found = unroll(piece, start, mask)
                if found is not NotImplemented:
                    close(valid(found[0], mask), valid(expected.output, mask), f"output after {length} steps")
                    close(found[1], expected.state, f"state after {length} steps")


def check_reverse(cell: Cell, x: Any) -> None:
    """Walking backwards is walking forwards along the flipped series, marks, hooks and all."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    flipped = map_leaves(lambda leaf: leaf.flip(1), x)
    for mask, reset in [(None, None), (ragged(batch, time), None), (holes(batch, time), resets(batch, time))]:
        there = None if mask is None else mask.flip(1)
        outputs, state = alone(cell, flipped, start, there, None if reset is None else reset.flip(1))
        for run in (scan, loop):
            back = run(cell, x, start, mask=mask, reset=reset, reverse=True)
            unflipped = map_leaves(lambda leaf: leaf.flip(1), back.output)
            close(valid(unflipped, there), outputs, "output")
            close(back.state, state, "state")

    def nudge(t: int, state: State) -> State:
        return map_leaves(lambda leaf: leaf + 0.1 * t, state)

    def keep(x: Any, before: State, output: Any, after: State) -> Any:
        return {"x": x, "before": before, "output": output, "after": after}

    back = scan(cell, x, start, force=nudge, record=keep, reverse=True)
    forth = scan(cell, flipped, start, force=nudge, record=keep)
    close(back.record, map_leaves(lambda leaf: leaf.flip(1), forth.record), "record, in the order of time")
    close(back.record["output"], back.output, "recorded output")
    close(back.record["x"], x, "recorded input")
    close(back.state, forth.state, "state")


def check_record(cell: Cell, x: Any) -> None:
    """Recording changes nothing, and keeps what came in and what went out."""
    batch, time = extents(x)
    start, mask = some_state(cell, batch), holes(batch, time)

    def keep(x: Any, before: State, output: Any, after: State) -> Any:
        return {"x": x, "before": before, "output": output, "after": after}

    seen = scan(cell, x, start, mask=mask, record=keep)
    blind = scan(cell, x, start, mask=mask)
    close(valid(seen.output, mask), valid(blind.output, mask), "output")
    close(seen.state, blind.state, "state")
    assert blind.record is None
    close(valid(seen.record["x"], mask), valid(x, mask), "recorded input", tolerance=0)
    close(seen.record["output"], seen.output, "recorded output", tolerance=0)
    assert torch.equal(seen.mask, mask) and blind.mask is mask
    first = map_leaves(lambda leaf: leaf[:, 0], seen.record["before"])
    close(first, start, "the state before the first step", tolerance=0)
    for t in range(1, time):
        held = map_leaves(
            lambda after, before, t=t: where(mask[:, t - 1], after[:, t - 1], before[:, t - 1]),
            seen.record["after"],
            seen.record["before"],
        )
        close(map_leaves(lambda leaf, t=t: leaf[:, t], seen.record["before"]), held, "the state before", tolerance=0)


def check_sensitivity(cell: Cell, x: Any) -> None:
    """The product of the recorded Jacobians, the newest on the left, is the derivative of the whole."""
    x = steps(rows(x, torch.arange(3)), 0, 5)
    start = some_state(cell, 3)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 2], mask[2, 3:] = False, False
    recorded = scan(cell, x, start, mask=mask, record=record_jacobian(cell)).record
    assert recorded.shape == (3, 5, size(start), size(start))
    if not size(start):
        return
    product = torch.eye(size(start)).to(recorded).expand(3, -1, -1)
    for t in range(5):
        product = torch.where(mask[:, t, None, None], recorded[:, t] @ product, product)
    for run in (scan, loop):

        def whole(vector: Tensor, run: Run = run) -> Tensor:
            return flatten(run(cell, x, unflatten(vector, start), mask=mask).state)

        total = torch.autograd.functional.jacobian(whole, flatten(start))  # (batch, n, batch, n)
        own = torch.stack([total[row, :, row] for row in range(3)])
        close(own, product, "∂h_t/∂h_s", tolerance=1e-10)
        rest = total.clone()
        for row in range(3):
            rest[row, :, row] = 0
        close(rest, torch.zeros_like(rest), "derivative of a row by another row's state", tolerance=0)


def check_closed_form(cell: Cell, x: Any) -> None:
    """The Jacobian in closed form, where there is one, is that of the written step."""
    batch, _ = extents(x)
    before = some_state(cell, batch)
    for t in range(3):
        now = map_leaves(lambda leaf, t=t: leaf[:, t], x)
        output, after = cell(now, before)
        closed = cell.jacobian(now, before, output, after)
        if closed is not NotImplemented:
            close(closed, autodiff_jacobian(cell, now, before), "closed form")
        block = cell.block(now, before, output, after)
        if block is not NotImplemented:
            close(block, autodiff_block(cell, now, before), "[A B; C D]")
        before = after


def check_closed_loop(cell: Cell, x: Any) -> None:
    """A rollout is teacher forcing on its own output, with and without exogenous inputs."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    generator = torch.Generator().manual_seed(7)
    last = map_leaves(lambda leaf: noise_like(leaf[:, 0], generator), scan(cell, x, start).output)
    width = leaves(x)[0][0, 0].numel()
    mix = 0.3 * torch.randn(len(flatten(last)[0]), width, generator=generator, dtype=torch.float64).to(flatten(last))

    def feed(y: Any, known: Any) -> Any:
        """The first leaf of the input is the known one plus a mixture of the last output; of tokens it is another."""
        inputs = iter(leaves(known))
        back = flatten(y) @ mix
        first = next(inputs)
        if first.is_floating_point():
            moved = first + back.view_as(first)
        else:
            moved = torch.where((back[:, 0] > 0).view(-1, *[1] * (first.dim() - 1)), first, 0)
        inputs = iter([moved, *inputs])
        return map_leaves(lambda _: next(inputs), known)

    check_rollout(cell, start, last, feed, x, time)
    check_until(cell, start, last, feed, x, time)
    if isinstance(x, Tensor) and x.is_floating_point():
        check_rollout(cell, start, last, lambda y, known: (flatten(y) @ mix).view(batch, *x.shape[2:]), None, time)
        if cell.input_shape == cell.output_shape:
            check_rollout(cell, start, last, lambda y, known: y, None, time)


def check_rollout(cell: Cell, start: State, last: Any, feed: Any, exogenous: Any, time: int) -> None:
    """Run the closed loop, then give the cell the inputs that it made for itself, all at once."""
    for force in (None, lambda t, state: map_leaves(lambda leaf: leaf + 0.01 * t, state)):
        closed = rollout(cell, start, time, last=last, feed=feed, exogenous=exogenous, force=force)
        fed_back = map_leaves(lambda y, first: torch.cat([first[:, None], y[:, :-1]], 1), closed.output, last)
        made = [
            feed(
                map_leaves(lambda leaf, t=t: leaf[:, t], fed_back),
                None if exogenous is None else map_leaves(lambda leaf, t=t: leaf[:, t], exogenous),
            )
            for t in range(time)
        ]
        teacher = scan(cell, stack(made), start, force=force)
        close(closed.output, teacher.output, "output of the closed loop")
        close(closed.state, teacher.state, "state of the closed loop")
        assert closed.record is None and closed.mask is None


def check_until(cell: Cell, start: State, last: Any, feed: Any, exogenous: Any, time: int) -> None:
    """Rows that are over are held: each is its own rollout of so many steps, and all over is the end of the loop."""
    batch = extents(exogenous)[0]
    ends = torch.tensor([time // 4, 2, 1, time // 2])[:batch]
    taken = iter(range(1, time + 1))

    def over(output: Any) -> Tensor:
        return ends <= next(taken)

    def keep(x: Any, before: State, output: Any, after: State) -> Any:
        return {"x": x, "before": before, "output": output, "after": after}

    free = rollout(cell, start, time, last=last, feed=feed, exogenous=exogenous, record=keep)
    result = rollout(cell, start, time, last=last, feed=feed, exogenous=exogenous, record=keep, until=over)
    longest = int(ends.max())
    assert torch.equal(result.mask, torch.arange(longest) < ends[:, None])
    close(valid(result.output, result.mask), valid(steps(free.output, 0, longest), result.mask), "output until the end")
    close(valid(result.record, result.mask), valid(steps(free.record, 0, longest), result.mask), "record until the end")
    at_end = map_leaves(lambda leaf: leaf[torch.arange(batch), ends - 1], free.record["after"])
    close(result.state, at_end, "state after each row's last step")


def check_constancy(cell: Cell, x: Any) -> None:
    """Structure, dtype and shapes never change in time; the state starts in the dtype of the cell."""
    batch, time = extents(x)
    dtype = next((leaf.dtype for leaf in [*cell.parameters(), *cell.buffers()]), torch.get_default_dtype())
    start = cell.initial_state(batch)
    assert all(leaf.dtype == dtype and len(leaf) == batch for leaf in leaves(start))
    for state in (None, some_state(cell, batch)):
        for run in (scan, loop):
            for marks in ({}, {"mask": holes(batch, time), "reset": resets(batch, time)}, {"reverse": True}):
                result = run(cell, x, state, **marks)
                assert signature(result.state) == signature(start)
                assert structure(result.state) == structure(start)
                assert all(leaf.shape[:2] == (batch, time) for leaf in leaves(result.output))
                assert {leaf.dtype for leaf in leaves(result.output)} <= {dtype, torch.int64, torch.bool}
    assert signature(cell.initial_state(1)) == [(name, shape, dtype) for name, shape, dtype in signature(start)]


def check_purity(cell: Cell, x: Any) -> None:
    """A step changes nothing: not its input, not the state it was given, not the cell; twice gives the same."""
    batch, time = extents(x)
    start = some_state(cell, batch)
    given = [leaf.clone() for leaf in (*leaves(x), *leaves(start), *cell.parameters(), *cell.buffers())]
    for run in (scan, loop):
        once = run(cell, x, start, mask=holes(batch, time), reset=resets(batch, time))
        twice = run(cell, x, start, mask=holes(batch, time), reset=resets(batch, time))
        close(once, twice, "the second time", tolerance=0)
    now = [*leaves(x), *leaves(start), *cell.parameters(), *cell.buffers()]
    close(now, given, "what was given", tolerance=0)


def check_parameters(cell: Cell, x: Any) -> None:
    """Every parameter gets a gradient that is finite and not zero, on both paths; those of a memory in making it."""
    before = makes_memory(cell)
    for run in (scan, loop):
        found = gradients(cell, x, cell.initial_state(extents(x)[0]), lambda x, _, run=run: tuple(run(cell, x)[:2]))
        for name, parameter in cell.named_parameters():
            if parameter.numel() and name not in before:
                gradient = found[name]
                assert gradient.isfinite().all(), f"the gradient of {name} is not finite"
                assert gradient.abs().max() > 0, f"{name} gets no gradient"


def check_gates(cell: Cell, x: Any) -> None:
    """Gates are finite, one row a row, in [0, 1]; candidates in [-1, 1]."""
    batch, time = extents(x)
    result = scan(cell, x, record=lambda x, before, output, after: cell.gates(x, before, output, after))
    for name, gate in result.record.items():
        lowest = -1 if name.split(".")[-1] == "candidate" else 0
        assert gate.shape[:2] == (batch, time) and gate.dim() == 3, f"{name} has shape {tuple(gate.shape)}"
        assert gate.isfinite().all(), f"{name} is not finite"
        assert gate.min() >= lowest and gate.max() <= 1, f"{name} leaves its range"


def check_second_derivatives(cell: Cell, x: Any) -> None:
    """Gradients can be differentiated again on both paths alike, or the fast path says that it cannot."""
    batch, time = extents(x)
    x = steps(x, 0, min(time, 36))  # the linear kernel has a block and a rest
    for mask in (None, ragged(batch, time)[:, :36]):
        slow = hessian_product(cell, x, lambda *given, mask=mask: loop(cell, *given, mask=mask), mask)
        try:
            fast = hessian_product(cell, x, lambda *given, mask=mask: scan(cell, *given, mask=mask), mask)
        except RuntimeError as refusal:
            assert "differentia" in str(refusal), refusal
            continue
        close(fast, slow, "second derivative", tolerance=1e-9)


def hessian_product(cell: Cell, x: Any, run: Callable[..., Scan], mask: Tensor | None) -> dict[str, Tensor]:
    """∂²L v of a smooth functional L of outputs and state, by input, start and parameters, with one fixed v."""
    (x, start), wanted = differentiable(cell, x, some_state(cell, extents(x)[0]))
    result, generator = run(x, start), torch.Generator().manual_seed(3)
    parts = [*leaves(valid(result.output, mask)), *leaves(result.state)]
    loss = sum((torch.sin(leaf) * noise_like(leaf, generator)).sum() for leaf in parts)
    options = {"allow_unused": True, "materialize_grads": True}
    if not loss.requires_grad:
        return {}
    slopes = torch.autograd.grad(loss, list(wanted.values()), create_graph=True, **options)
    along = sum((slope * noise_like(slope, generator)).sum() for slope in slopes)
    if not along.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in wanted.items()}
    return dict(zip(wanted, torch.autograd.grad(along, list(wanted.values()), **options), strict=True))


LAWS = (
    check_split,
    check_stream,
    check_padding,
    check_padding_gradients,
    check_reset,
    check_batch,
    check_causality,
    check_force,
    check_fast_path,
    check_kernel,
    check_reverse,
    check_record,
    check_sensitivity,
    check_closed_form,
    check_closed_loop,
    check_constancy,
    check_purity,
    check_parameters,
    check_gates,
    check_second_derivatives,
)
"""All of them, for parametrising."""

Run = Callable[..., Scan]


def loop(cell: Cell, x: Any, state: State | None = None, **marks: Any) -> Scan:
    """The scan that takes no fast path, because it records (nothing)."""
    return scan(cell, x, state, record=lambda x, before, output, after: None, **marks)


def alone(
    cell: Cell, x: Any, start: State, mask: Tensor | None = None, reset: Tensor | None = None
) -> tuple[Any, State]:
    """Each series by itself, step by step, with the steps that are not there left out.

    Returns the outputs at the valid steps (valid, *outputs), row after row, and the states after the last of them.
    """
    batch, time = extents(x)
    outputs, states = [], []
    for row in range(batch):
        state = map_leaves(lambda leaf, row=row: leaf[row : row + 1], start)
        for t in range(time):
            if mask is not None and not mask[row, t]:
                continue
            if reset is not None and reset[row, t]:
                state = cell.initial_state(1)
            output, state = cell(map_leaves(lambda leaf, row=row, t=t: leaf[row : row + 1, t], x), state)
            outputs.append(output)
        states.append(state)
    return map_leaves(lambda *all_: torch.cat(all_), *outputs), map_leaves(lambda *all_: torch.cat(all_), *states)


def makes_memory(cell: Cell) -> set[str]:
    """The parameters by which a memory is made, before the recurrence begins."""
    names = {parameter: name for name, parameter in cell.named_parameters()}
    found: set[str] = set()
    for part in cell.modules():
        if isinstance(part, Attentive):
            own = list(part.attention.parameters())
            memory = part.attention.memory(part.zeros(1, 2, part.attention.memory_size) + 1.0)
            made = [leaf.sum() for leaf in leaves(memory) if leaf.requires_grad]
            grads = torch.autograd.grad(sum(made), own, allow_unused=True) if made else [None] * len(own)
            found |= {names[one] for one, gradient in zip(own, grads, strict=True) if gradient is not None}
    return found


def gradients(cell: Cell, x: Any, start: State, run: Callable[[Any, State], tuple[Any, State]]) -> dict[str, Tensor]:
    """All gradients of one fixed random functional of output and state, by name."""
    (x, start), wanted = differentiable(cell, x, start)
    generator = torch.Generator().manual_seed(3)
    loss = sum((leaf * noise_like(leaf, generator)).sum() for leaf in leaves(run(x, start)))
    if not loss.requires_grad:  # e.g. an autonomous cell without parameters, from its own start
        return {name: torch.zeros_like(leaf) for name, leaf in wanted.items()}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(wanted, found, strict=True))


def differentiable(cell: Cell, x: Any, start: State) -> tuple[tuple[Any, State], dict[str, Tensor]]:
    """Input and start with gradients, and by name all there is to differentiate by; of what is held, the constant."""
    wanted = {name: parameter for name, parameter in cell.named_parameters() if parameter.requires_grad}

    def free(name: str, leaf: Tensor) -> Tensor:
        held = name.startswith("0") and is_held(leaf)
        wanted[name] = (leaf[:, 0] if held else leaf).detach().requires_grad_(leaf.is_floating_point())
        return hold(wanted[name], leaf.shape[1]) if held else wanted[name]

    pieces = iter([free(name, leaf) for name, leaf in named_leaves((x, start))])
    given = map_leaves(lambda _: next(pieces), (x, start))
    return given, {name: leaf for name, leaf in wanted.items() if leaf.requires_grad}


def ragged(batch: int, time: int) -> Tensor:
    """Right-padded series: the first is whole, the last is empty."""
    lengths = torch.linspace(time, 0, batch).round().to(torch.long)
    return torch.arange(time) < lengths[:, None]


def holes(batch: int, time: int) -> Tensor:
    """Gaps in the middle, few enough for kernels to be worth while; the last row ends in one."""
    mask = torch.ones(batch, time, dtype=torch.bool)
    mask[1, time // 6 : time // 3] = False
    mask[2, time // 6 : time // 2] = False
    mask[-1, time // 2 :] = False
    return mask


def at_random(batch: int, time: int) -> Tensor:
    """Every step is there or not, independently."""
    return torch.rand(batch, time, generator=torch.Generator().manual_seed(5)) < 0.6


def resets(batch: int, time: int) -> Tensor:
    """Some at the first step, some within, one of them in a gap of ``holes``, one where it ends."""
    reset = torch.zeros(batch, time, dtype=torch.bool)
    reset[0, 0] = reset[0, time // 2] = reset[1, time // 4] = reset[2, time // 2] = True
    return reset


def some_state(cell: Cell, batch: int) -> State:
    """A state near the initial one, where chaotic maps stay bounded, and different in every row."""
    generator = torch.Generator().manual_seed(11)
    return map_leaves(lambda leaf: leaf + 0.1 * noise_like(leaf, generator), detach(cell.initial_state(batch)))


def noise_like(leaf: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the same shape; zeros for whole numbers, which nothing can be differentiated by."""
    if not leaf.is_floating_point():
        return torch.zeros_like(leaf)
    return torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype)


def extents(x: Any) -> tuple[int, int]:
    """Batch and time."""
    batch, time = leaves(x)[0].shape[:2]
    return batch, time


def steps(tree: Any, start: int, stop: int) -> Any:
    """A stretch of time."""
    return map_leaves(lambda leaf: leaf[:, start:stop], tree)


def rows(tree: Any, index: Tensor) -> Any:
    """Some rows of the batch."""
    return map_leaves(lambda leaf: leaf[index], tree)


def valid(output: Any, mask: Tensor | None) -> Any:
    """The outputs at the steps that are there, (valid, *outputs), row after row."""
    return map_leaves(lambda leaf: leaf.flatten(0, 1) if mask is None else leaf[mask], output)


def fill(x: Any, mask: Tensor, value: float) -> Any:
    """Write a value wherever a step is not there; of whole numbers −1."""
    return map_leaves(
        lambda leaf: where(mask, leaf, torch.full_like(leaf, value if leaf.is_floating_point() else -1)), x
    )


def other(leaf: Tensor) -> Tensor:
    """Values that have nothing to do with the given ones."""
    return 10 * noise_like(leaf, torch.Generator().manual_seed(13)) if leaf.is_floating_point() else leaf.flip(1)


def poison(tree: Any) -> Any:
    """NaN all over the first row."""
    return map_leaves(
        lambda leaf: torch.cat([leaf[:1] * torch.nan, leaf[1:]]) if leaf.is_floating_point() else leaf, tree
    )


def where(condition: Tensor, leaf: Tensor, alternative: Tensor) -> Tensor:
    """``torch.where`` with the condition on the leading axes."""
    return torch.where(condition.reshape(*condition.shape, *[1] * (leaf.dim() - condition.dim())), leaf, alternative)


def size(state: State) -> int:
    """How many numbers a row's state holds."""
    return sum(leaf[0].numel() for leaf in leaves(state))


def signature(state: State) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    """The leaves by name, shape without the batch, and dtype."""
    return [(name, tuple(leaf.shape[1:]), leaf.dtype) for name, leaf in named_leaves(state)]


def structure(tree: Any) -> Any:
    """The types of the branches, without the leaves."""
    if isinstance(tree, Tensor) or tree is None:
        return type(tree)
    return type(tree), [structure(branch) for branch in (tree.values() if isinstance(tree, dict) else tree)]


def close(actual: Any, expected: Any, what: str, tolerance: float = 1e-12) -> None:
    """Compare two trees leaf by leaf: the same names, shapes and values."""
    found, wanted = dict(named_leaves(actual)), dict(named_leaves(expected))
    assert found.keys() == wanted.keys(), f"{what}: leaves {sorted(found)}, expected {sorted(wanted)}"
    for name, leaf in found.items():
        torch.testing.assert_close(
            leaf, wanted[name], rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{what} {name}: {text}"
        )
