"""Empirical interpolation: functions, vectors and matrices written in a few terms from a few of their values."""
