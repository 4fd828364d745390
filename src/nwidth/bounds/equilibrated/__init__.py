"""Bounds of the distance to the *exact* solution: equilibrated fluxes (Prager and Synge, Repin)."""
