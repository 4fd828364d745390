from .export.c99 import to_c as to_c
from .galerkin import ReducedBasis as ReducedBasis
from .greedy import Greedy as Greedy
from .pod_regression import PODRegression as PODRegression
