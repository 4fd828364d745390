from .estimators import residual_estimator as residual_estimator
from .export.c99 import to_c as to_c
from .extend import extended as extended
from .galerkin import ReducedBasis as ReducedBasis
from .greedy import Greedy as Greedy
from .pod_basis import POD as POD
from .pod_basis import pod as pod
from .pod_galerkin import PODGalerkin as PODGalerkin
from .matrices import from_matrices as from_matrices
from .pod_regression import PODRegression as PODRegression
from .parabolic import ReducedEvolution as ReducedEvolution
from .pod_greedy import PODGreedy as PODGreedy
from .stability import sampled_constants as sampled_constants
from .stability import successive_constraints as successive_constraints
from .stability import with_stability as with_stability
from .interpolation.deim import DEIM as DEIM, QDEIM as QDEIM
from .interpolation.eim import EIM as EIM, SymmetricEIM as SymmetricEIM
from .interpolation.interpolant import Interpolant as Interpolant
from .interpolation.matrices import InterpolatedMatrices as InterpolatedMatrices
from .interpolation.matrices import interpolated_matrices as interpolated_matrices
from .interpolation.problem import Interpolated as Interpolated, separated as separated
