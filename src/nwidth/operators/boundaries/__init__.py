"""Boundaries of neural operators: which series suits which end of an axis, and values and fluxes that hold exactly."""
