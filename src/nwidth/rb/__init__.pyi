from .galerkin import ReducedBasis as ReducedBasis
from .greedy import Greedy as Greedy
from .pod_regression import PODRegression as PODRegression
