"""An operator as an ONNX file: the answers of onnxruntime against nwidth's own, and how long one takes."""

import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

import nwidth as nw

problem = nw.problems.get("darcy", resolution=32)
runs = nw.generate(problem, 120, seed=0)
fitter = nw.operators.FNO(modes=8, width=12, layers=3, training=nw.Training(epochs=6, batch=12))
surrogate = fitter.fit(runs, problem, seed=0)

with tempfile.TemporaryDirectory() as folder:
    written = nw.operators.to_onnx(surrogate, Path(folder) / "darcy.onnx")
    size = written.path.stat().st_size
    session = onnxruntime.InferenceSession(written.path)
shapes = ", ".join(f"{name} {shape}" for name, shape in written.inputs.items())
print(f"{size / 1e3:.0f} kB, opset {written.opset}; {shapes} to fields {written.output}")

mu = surrogate.parameters.sample(range(64), seed=1)
a = mu["a"].astype(np.float32)
(found,) = session.run(["fields"], {"a": a})
own = surrogate.predict(mu).field
deviation = np.abs(found - own).max() / np.abs(own).max()
edge = ~surrogate.space.free.reshape(surrogate.space.shape)
print(
    f"64 unseen coefficients: {deviation:.1e} from nwidth's answers; on the boundary {np.abs(found[:, edge]).max():g}"
)


def seconds(call, repeats=5):
    """The shortest of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


single, many = (seconds(lambda n=n: session.run(["fields"], {"a": a[:n]})) / n for n in (1, 64))
print(f"one at a time {1e3 * single:.2f} ms, in a batch of 64 {1e3 * many:.2f} ms each")
