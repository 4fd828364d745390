"""The protocols of surrogates and fitters, and training."""
