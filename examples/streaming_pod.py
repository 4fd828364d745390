"""A basis of a store of runs that is read once, in constant memory; the pass is killed, and goes on where it was.

What the modes leave out comes with a bound, though no run was seen twice.
"""

import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

import nwidth as nw

WANTED = {"tol": 1e-4, "inner": "energy", "about": "zero", "block": 4}


def one_pass(store, checkpoint):
    return nw.rb.pod(store, **WANTED, checkpoint=checkpoint, seconds=0)


def main(folder):
    store, checkpoint = Path(folder) / "runs.zarr", Path(folder) / "pass.safetensors"
    problem = nw.problems.get("thermal_block", resolution=24)
    nw.generate(problem, 320, seed=0, path=store)
    process = multiprocessing.get_context("spawn").Process(target=one_pass, args=(store, checkpoint))
    process.start()
    while not checkpoint.exists() and process.is_alive():
        time.sleep(0.001)
    process.kill()  # as a power cut would: nothing is tidied up
    process.join()
    after_kill = one_pass(store, checkpoint)
    whole = nw.rb.pod(store, **WANTED)
    basis = nw.rb.PODGalerkin(tol=1e-4).fit(nw.open_snapshots(store), problem)
    return process.exitcode, after_kill, whole, nw.certify(basis, problem), problem


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        exitcode, after_kill, whole, certified, problem = main(folder)
    print(f"the first pass ended with {exitcode}; the second went on from its file")
    print(f"{len(whole.modes)} modes leave out at most {whole.lost:.2e} of the runs ({whole.method}: {whole.why})")
    print(f"the same bit by bit: {np.array_equal(after_kill.modes, whole.modes)}")
    answer = certified.predict(problem.parameters.sample(range(5), seed=1))
    print(f"{answer.guarantee}\nlimits {np.array2string(answer.bound, precision=1)}")
