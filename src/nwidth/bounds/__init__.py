"""The mathematics of error: residual norms, stability constants, Gauss-Radau, round-off. No surrogates here."""
