"""Neural operators as ONNX files and as programs of torch.export: parameters in, fields out, nothing else needed."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nwidth.core.arrays import Array, Mu
from nwidth.core.errors import InputError, WorkError
from nwidth.core.kinds import load_attribute
from nwidth.core.validation import as_mu, batch_size
from nwidth.io.atomic import write_atomically
from nwidth.operators.physical import NetworkModule, PhysicalModule
from nwidth.operators.surrogate import NeuralSurrogate

#: The version of the ONNX operators that files use (the first with GELU).
OPSET = 20
_DRAWN = 5


@dataclass(frozen=True)
class Exported:
    """What was written: shapes of inputs and output by name (None: any batch), and the largest relative deviation from
    the surrogate's own answers that was found when the file was checked."""

    path: Path
    inputs: Mapping[str, tuple[int | None, ...]]
    output: tuple[int | None, ...]
    opset: int
    error: float


def to_exported_program(
    surrogate: NeuralSurrogate, mu: Mu | None = None, *, tol: float = 1e-5
) -> torch.export.ExportedProgram:
    """The surrogate as a program of torch.export: `program.module()({"a": ..., "b": ...})` for any batch, on this grid.

    Inputs are the parameters in single precision, `(B, ...)` by name, and `boundary` `(B, C, *grid)` where prescribed
    values depend on the parameters (only its values on the boundary are read). The output holds the fields
    `(B, *space.shape)`, or real and imaginary parts `(B, 2 C, *grid)`, with normalisation and boundary values inside.
    For another grid export `surrogate.at(space)`. `mu`: a few parameters to check with, at least two; drawn from the
    fitted set by default. Of a surrogate that is more than one pass from parameters to fields (a rollout in
    time, named numbers), the network is exported with its normalisation and boundary values: input `x` and output are
    those of `surrogate.module`.

    Raises InputError for a surrogate that is no neural operator, or parameters that cannot be drawn; WorkError where
    torch cannot export the network, or the program deviates from `surrogate.predict` by more than `tol` (the largest
    deviation over the largest value).
    """
    module, inputs, expected = _case(surrogate, mu)
    program = _program(module, inputs)
    with torch.no_grad():
        answers = {rows: program.module()(_first(inputs, rows)).numpy() for rows in (1, len(expected))}
    _checked("the exported program", answers, expected, tol)
    return program


def to_onnx(surrogate: NeuralSurrogate, path: str | Path, mu: Mu | None = None, *, tol: float = 1e-5) -> Exported:
    """Write the surrogate as an ONNX file (one file, opset 20, any batch) and check it in onnxruntime.

    Inputs and output are those of `to_exported_program`; the output is named `fields`.

    Raises what that raises, and InputError without the extra `export`.
    """
    runtime = load_attribute("onnxruntime:InferenceSession")
    for package in ("onnx", "onnxscript"):
        load_attribute(f"{package}:__version__")
    module, inputs, expected = _case(surrogate, mu)
    with _quiet():
        program = torch.onnx.export(
            _program(module, inputs),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=["fields"],
            verbose=False,
        )
    if program is None:
        raise WorkError("torch.onnx.export returned nothing; this torch is too old, 2.6 or newer is needed")
    data = program.model_proto.SerializeToString()
    session = runtime(data, providers=["CPUExecutionProvider"])
    answers = {
        rows: session.run(None, {name: x.numpy() for name, x in _first(inputs, rows).items()})[0]
        for rows in (1, len(expected))
    }
    target = Path(path)
    error = _checked(f"the file for {target.name}", answers, expected, tol)
    write_atomically(target, lambda file: file.write(data))
    shapes = {name: (None, *x.shape[1:]) for name, x in inputs.items()}
    return Exported(target, shapes, (None, *expected.shape[1:]), OPSET, error)


def to_pt2(surrogate: NeuralSurrogate, path: str | Path, mu: Mu | None = None, *, tol: float = 1e-5) -> Path:
    """Write the program of `to_exported_program` for `torch.export.load`; a file of torch, which may run code."""
    program, target = to_exported_program(surrogate, mu, tol=tol), Path(path)
    stream = BytesIO()
    with _quiet():
        torch.export.save(program, stream)
    write_atomically(target, lambda file: file.write(stream.getvalue()))
    return target


def _case(surrogate: NeuralSurrogate, mu: Mu | None) -> tuple[PhysicalModule | NetworkModule, dict[str, Tensor], Array]:
    """The module to export, a few inputs, and the surrogate's own answers to them."""
    if not isinstance(surrogate, NeuralSurrogate):
        raise InputError(
            f"a {type(surrogate).__name__} is no neural operator; ONNX and torch.export take one (for a reduced basis "
            "write C: nw.rb.to_c)"
        )
    if type(surrogate).predict is not NeuralSurrogate.predict:
        network = NetworkModule(surrogate.module)
        inputs = network.inputs(surrogate.nodes, _DRAWN)
        return network, inputs, network.expected(inputs)
    drawn = surrogate.parameters.sample(range(_DRAWN), seed=0) if mu is None else as_mu(mu, surrogate.encoding.names)
    if batch_size(drawn) < 2:
        raise InputError("one sample cannot show that any batch will do; give two or more, mu[:2]")
    module = PhysicalModule.of(surrogate, drawn)
    return module, module.inputs(surrogate, drawn), module.expected(surrogate, drawn)


def _program(module: PhysicalModule | NetworkModule, inputs: dict[str, Tensor]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1, max=2**20)
    shapes = {name: {0: batch} for name in inputs}
    try:
        with torch.no_grad(), _quiet():
            module(inputs)  # what is kept from call to call must hold numbers, not the placeholders of the exporter
            return torch.export.export(module, (inputs,), dynamic_shapes=(shapes,), strict=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[:3]
        raise WorkError(
            f"{type(module.module.network).__name__} cannot be exported for any size of a batch: {' '.join(reason)} "
            "(a batch has x.shape[0] samples: len(x) makes a fixed number of it, and so does a condition on its size)"
        ) from error


def _first(inputs: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    return {name: x[:rows] for name, x in inputs.items()}


def _checked(what: str, answers: Mapping[int, Array], expected: Array, tol: float) -> float:
    """The largest deviation over batches of several sizes. Raises WorkError where it exceeds `tol`."""
    size = float(np.abs(expected).max()) or 1.0
    error = max(float(np.abs(found - expected[:rows]).max()) / size for rows, found in answers.items())
    if not error <= tol:
        raise WorkError(
            f"{what} deviates from the surrogate by {error:.1e} of the largest value, more than tol={tol:.1e}; single "
            "precision cannot resolve fields that vary little around a large mean: export their deviation, or raise tol"
        )
    return error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
