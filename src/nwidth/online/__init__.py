"""Queries: certify, refine, and the wrappers Certified and Refining."""
