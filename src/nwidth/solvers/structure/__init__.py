"""What the matrices of a problem have in common, looked for before anything is solved.

`find` looks, `Structured` uses what it found and checks every sample: a fixed matrix is factorised once, loads from a
small space are solved once and combined, a change of low rank goes through the Woodbury formula.
"""
