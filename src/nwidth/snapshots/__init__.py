"""Sampling, generation and storage of full-order solutions."""
