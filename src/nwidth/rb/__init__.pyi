from .export.c99 import to_c as to_c
from .galerkin import ReducedBasis as ReducedBasis
from .greedy import Greedy as Greedy
from .pod_basis import POD as POD
from .pod_basis import pod as pod
from .pod_galerkin import PODGalerkin as PODGalerkin
from .pod_regression import PODRegression as PODRegression
