"""Reduced bases: certified greedy Galerkin, and POD with regression."""
