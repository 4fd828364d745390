"""Regressions from standardised parameters to standardised values, chosen by name (`choose.fit_named`)."""
