"""What a network does at each node, fused: products of channels with the activation recomputed, not kept.

Autograd keeps the input of every product and of every activation. Here only what no product gives back is kept: the
values before the first activation. The rest is recomputed in the backward pass, some rows of nodes at a time, so that
it stays in cache and never needs memory of the size of the grid.

Where a graph is recorded (export, compilation), under autocast, and in second derivatives, the same formulas are
evaluated by ordinary operations.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nwidth.operators.gelu import gelu_and_slope

#: Numbers per block of rows: a megabyte or two in single precision.
_BLOCK = 1 << 18


def perceptron(
    x: Tensor,
    hidden: tuple[Tensor, Tensor | None],
    out: tuple[Tensor, Tensor | None],
    *,
    activated: bool = False,
    onto: Tensor | None = None,
) -> Tensor:
    """`onto + W₂ σ(W₁ s(x) + b₁) + b₂` at each node with σ = GELU, and s = σ where `activated`, else s(x) = x.

    `x (..., C_in)`; `hidden`: (W₁ `(H, C_in)`, b₁ `(H,)` or None); `out`: (W₂ `(C_out, H)`, b₂); `onto (..., C_out)`
    is written over. Kept for the backward pass: x.
    """
    tensors = (x, *hidden, *out, onto)
    if not fusible(x):
        return _perceptron(*tensors, activated=activated)
    return _Perceptron.apply(activated, *(None if t is None else t.contiguous() for t in tensors))


def split(
    x: Tensor, weight: Tensor, bias: Tensor | None, gate: Tensor | None, shift: Tensor | None, *, activated: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What a layer is made of: `v = s(x)`, `W v + b`, and `g v + a` where there is a gate g or a shift a (else None).

    `x (..., C)`; W and g are matrices `(C_out, C)` or factors per channel `(C,)`; `shift (C_out,)`. The second
    and the third are fresh tensors, to be written over. Kept for the backward pass: x.
    """
    if not fusible(x):
        return _split(x, weight, bias, gate, shift, activated=activated)
    v, y, rest = _Split.apply(activated, x.contiguous(), weight, bias, gate, shift)
    return (v if activated else x), y, rest


def fusible(x: Tensor) -> bool:
    """Whether the fused operations apply: real tensors, no graph recorded, no autocast."""
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return not recorded and not torch.is_autocast_enabled(x.device.type) and x.dtype in (torch.float32, torch.float64)


def _perceptron(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    onto: Tensor | None = None,
    *,
    activated: bool,
) -> Tensor:
    """By ordinary operations."""
    y = F.linear(F.gelu(F.linear(F.gelu(x) if activated else x, w1, b1)), w2, b2)
    return y if onto is None else onto + y


def _split(
    x: Tensor, weight: Tensor, bias: Tensor | None, gate: Tensor | None, shift: Tensor | None, *, activated: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """By ordinary operations."""
    v = F.gelu(x) if activated else x
    return v, _linear(v, weight, bias), None if gate is None and shift is None else _linear(v, gate, shift)


def _linear(v: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`weight · v + bias` for a matrix, for one factor per channel, or for none."""
    if weight is not None and weight.ndim == 2:
        return F.linear(v, weight, bias)
    scaled = v if weight is None else v * weight
    return scaled if bias is None else scaled + bias


def _rows(x: Tensor, widest: int) -> Iterator[slice]:
    """Blocks of rows whose widest tensor stays in cache; all at once on other devices, which are slow to start."""
    step = max(1, _BLOCK // widest) if x.device.type == "cpu" else len(x)
    for first in range(0, len(x), max(step, 1)):
        yield slice(first, first + step)


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


def _gelu_over(x: Tensor) -> Tensor:
    """`σ(x)`, written over x."""
    return torch.ops.aten.gelu_(x)


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.mm(x, weight.T) if bias is None else torch.addmm(bias, x, weight.T)


def _affine_into(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if bias is None:
        torch.mm(x, weight.T, out=out)
    else:
        torch.addmm(bias, x, weight.T, out=out)


def _add_product(into: Tensor, left: Tensor, right: Tensor) -> None:
    """`into += leftᵀ right`; with few columns on the right, the transposed product was measured 5 times faster."""
    if right.shape[1] < left.shape[1]:
        into.add_(torch.mm(right.T, left).T)
    else:
        into.addmm_(left.T, right)


def _mapped(v: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`weight · v + bias` as a fresh tensor that is no view, so that others may write over it."""
    if weight is None:
        return v.clone() if bias is None else v + bias
    if weight.ndim == 1:
        return v * weight if bias is None else torch.addcmul(bias, v, weight)
    y = v.new_empty(*v.shape[:-1], len(weight))
    _affine_into(_flat(y), _flat(v), weight, bias)
    return y


def _again(
    formula: Callable[..., Any], tensors: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Gradients that can be differentiated once more, by ordinary operations; None stands for a gradient of zero."""
    given = [t for t in tensors if t is not None and t.requires_grad]
    with torch.enable_grad():
        found = formula(*tensors)
    results = [(y, g) for y, g in zip(found, grads, strict=True) if g is not None]
    ys, gs = [y for y, _ in results], [g for _, g in results]
    slopes = iter(torch.autograd.grad(ys, given, gs, create_graph=True, allow_unused=True))
    return [next(slopes) if t is not None and t.requires_grad else None for t in tensors]


class _Perceptron(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        activated: bool,
        x: Tensor,
        w1: Tensor,
        b1: Tensor | None,
        w2: Tensor,
        b2: Tensor | None,
        onto: Tensor | None,
    ) -> Tensor:
        ctx.activated, ctx.added = activated, onto is not None
        ctx.save_for_backward(x, w1, b1, w2, b2)
        if onto is not None:
            ctx.mark_dirty(onto)
            y = onto if b2 is None else onto.add_(b2)
        else:
            y = x.new_empty(*x.shape[:-1], len(w2))
        into, rows = _flat(y), _flat(x)
        for r in _rows(rows, max(w1.shape)):
            v = rows[r]
            h = _gelu_over(_affine(_gelu(v) if activated else v, w1, b1))
            if onto is not None:
                into[r].addmm_(h, w2.T)
            else:
                _affine_into(into[r], h, w2, b2)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            slopes = _again(lambda *t: [_perceptron(*t, activated=ctx.activated)], tensors, grads)
            return None, *slopes, grads[0] if ctx.added else None
        slopes = _perceptron_slopes(
            grads[0].contiguous(), *tensors, activated=ctx.activated, wanted=ctx.needs_input_grad[1]
        )
        return None, *slopes, grads[0] if ctx.added else None


def _perceptron_slopes(
    grad: Tensor,
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    *,
    activated: bool,
    wanted: bool,
) -> list[Tensor | None]:
    """Gradients for x (where `wanted`), W₁, b₁, W₂, b₂."""
    g1, g2 = torch.zeros_like(w1), torch.zeros_like(w2)
    gx, at_hidden = torch.empty_like(x) if wanted else None, w1.new_zeros(len(w1))
    rows, grads, into = _flat(x), _flat(grad), None if gx is None else _flat(gx)
    for r in _rows(rows, max(w1.shape)):
        g, (v, slope) = grads[r], gelu_and_slope(rows[r]) if activated else (rows[r], None)
        hidden, hidden_slope = gelu_and_slope(_affine(v, w1, b1))
        _add_product(g2, g, hidden)
        h = torch.mm(g, w2).mul_(hidden_slope)
        _add_product(g1, h, v)
        at_hidden += h.sum(0)
        if into is not None:
            torch.mm(h, w1, out=into[r])
            if slope is not None:
                into[r].mul_(slope)
    return [gx, g1, None if b1 is None else at_hidden, g2, None if b2 is None else grads.sum(0)]


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        activated: bool,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        gate: Tensor | None,
        shift: Tensor | None,
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        ctx.activated = activated
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, bias, gate, shift)
        v = _gelu(x) if activated else x
        rest = None if gate is None and shift is None else _mapped(v, gate, shift)
        return v if activated else None, _mapped(v, weight, bias), rest  # an input that is returned would be copied

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            slopes = _again(lambda *t: _split(*t, activated=ctx.activated), tensors, grads)
            return None, *slopes
        return None, *_split_slopes(grads, *tensors, activated=ctx.activated)


def _split_slopes(
    grads: Sequence[Tensor | None],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    gate: Tensor | None,
    shift: Tensor | None,
    *,
    activated: bool,
) -> list[Tensor | None]:
    """Gradients for x, W, b, g, a."""
    rows = _flat(x)
    at_v, at_y, at_r = (None if g is None else _flat(g.contiguous()) for g in grads)
    gx = torch.empty_like(x)
    into = _flat(gx)
    slopes: list[Tensor | None] = [None if t is None else torch.zeros_like(t) for t in (weight, bias, gate, shift)]
    for r in _rows(rows, max(weight.shape)):
        v, slope = gelu_and_slope(rows[r]) if activated else (rows[r], None)
        g = into[r]
        _start(g, None if at_v is None else at_v[r])
        if at_y is not None:
            _through(g, at_y[r], v, weight, slopes[:2])
        if at_r is not None:
            _through(g, at_r[r], v, gate, slopes[2:])
        if slope is not None:
            g.mul_(slope)
    return [gx, *slopes]


def _start(g: Tensor, at_v: Tensor | None) -> None:
    if at_v is None:
        g.zero_()
    else:
        g.copy_(at_v)


def _through(g: Tensor, grad: Tensor, v: Tensor, weight: Tensor | None, slopes: Sequence[Tensor | None]) -> None:
    """Add to g what comes back through `weight · v + bias`, and to `slopes` the gradients of the two."""
    at_weight, at_bias = slopes
    if at_bias is not None:
        at_bias += grad.sum(0)
    if weight is None or at_weight is None:
        g.add_(grad)
    elif weight.ndim == 2:
        g.addmm_(grad, weight)
        _add_product(at_weight, grad, v)
    else:
        g.addcmul_(grad, weight)
        at_weight += (grad * v).sum(0)
