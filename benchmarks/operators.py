"""Neural operators side by side: accuracy, parameters and resolution, with neuraloperator's FNO as the contestant.

Parts (`--part NAME` runs one, and may be given more than once; all by default):

    accuracy     Darcy 64², Burgers ν = 0.01, Navier-Stokes ν = 1e-3: nwidth's best operator and recipe against
                 neuraloperator's FNO by its public recipe, at equal time and at equal epochs, three seeds
    parameters   real parameters at equal error against the smallest plain FNO of a sweep over width and modes
    resolution   error at two and four times the training grid without training again
    table        every operator of nwidth on Darcy 64² at equal time, with POD + kernel regression and a U-Net

Speed and memory of the spectral layer and of the whole network: `spectral_layer.py`. Everything is scaled to one core:
training takes a minute or two instead of hours; the published numbers stand in docs/operators.
"""

import sys

import _harness

PARTS = {
    "accuracy": "_accuracy_rows",
    "parameters": "_parameter_rows",
    "resolution": "_resolution_rows",
    "table": "_table_rows",
}

if __name__ == "__main__":
    sys.exit(_harness.main_of_parts("operators", PARTS))
