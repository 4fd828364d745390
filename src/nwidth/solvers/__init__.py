"""Full-order solvers: the reference that every surrogate is measured against."""
