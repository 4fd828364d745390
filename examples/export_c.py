"""A power module's chip temperatures for its control unit: one C99 file with values, limits, ranges and a status."""

import shutil
import subprocess
from pathlib import Path

import numpy as np

import nwidth as nw

module = nw.problems.get("power_module", resolution=32)
certified = nw.certify(nw.rb.Greedy(tol=1e-2, training=100).fit(problem=module), module)
text = nw.rb.to_c(certified, "module.c")

MAIN = """
#include <stdio.h>
#define MODULE_INTERFACE_ONLY
#include "module.c"

int main(void)
{
    /* k_interface, k_solder, k_chip_solder in W/mK, h in W/m2K, power of each chip in W */
    const double mu[MODULE_PARAMETERS] = {2.0, 30.0, 30.0, 5000.0, 120.0, 80.0};
    module_result now;
    const unsigned int status = module_predict(mu, &now);
    if ((status & MODULE_NO_LIMIT) != 0U) {
        puts("no limit: use the full model");
    } else {
        printf("%.17g %.17g\\n", now.outputs[MODULE_OUT_CHIP_1], now.limits[MODULE_OUT_CHIP_1]);
    }
    return (int)status;
}
"""

names, values = module.parameters.names, (2.0, 30.0, 30.0, 5000.0, 120.0, 80.0)
answer = certified.predict({name: np.array([value]) for name, value in zip(names, values, strict=True)})
chip, compiled = answer.outputs["chip 1"], None
if shutil.which("cc"):
    Path("main.c").write_text(MAIN)
    subprocess.run(["cc", "-std=c99", "-O2", "main.c", "module.c", "-lm", "-o", "main"], check=True)
    compiled = [float(number) for number in subprocess.check_output(["./main"], text=True).split()]

if __name__ == "__main__":
    print(*(line for line in text.splitlines()[1:12]), sep="\n")
    print(f"Python: chip 1 at {chip.values[0]:.9f} °C, at most {chip.limit[0]:.1e} K off")
    print(
        f"C99:    chip 1 at {compiled[0]:.9f} °C, at most {compiled[1]:.1e} K off" if compiled else "no C compiler here"
    )
