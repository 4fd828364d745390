"""What is attached to a surrogate: rigorous, calibrated, or an estimate."""
