"""Short stable names for classes that are loaded on first use: the one place with dynamic imports.

A file or a study names a *kind*; only the names in this table (and classes that the caller passes in) are ever
imported. No import path is read from a file.
"""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nwidth.core.errors import InputError

#: kind -> "module:attribute"
BUILTIN: Mapping[str, str] = MappingProxyType(
    {
        # spaces
        "box": "nwidth.spaces.box:Box",
        "grid": "nwidth.spaces.grid:Grid",
        "complex-grid": "nwidth.spaces.complex_grid:ComplexGrid",
        "joint": "nwidth.spaces.joint:Joint",
        "algebraic": "nwidth.spaces.algebraic:Algebraic",
        "mesh": "nwidth.spaces.mesh:MeshSpace",
        "torus": "nwidth.spaces.torus:Torus",
        "periodic-field": "nwidth.spaces.periodic_field:PeriodicField",
        "points": "nwidth.spaces.points:Points",
        "discs": "nwidth.spaces.discs:Discs",
        "frames": "nwidth.spaces.frames:Frames",
        "two-valued-field": "nwidth.spaces.random_field:TwoValuedField",
        "log-normal-field": "nwidth.spaces.random_field:LogNormalField",
        "typical-fields": "nwidth.spaces.typical:TypicalFields",
        "field-density": "nwidth.spaces.field_density:FieldDensity",
        "stream-function": "nwidth.spaces.stream_function:StreamFunction",
        # problems
        "helmholtz": "nwidth.problems.helmholtz:Helmholtz",
        "poisson": "nwidth.problems.poisson:Poisson",
        "darcy": "nwidth.problems.darcy:Darcy",
        "advection_diffusion": "nwidth.problems.advection_diffusion:AdvectionDiffusion",
        "burgers": "nwidth.problems.burgers:Burgers",
        "heat": "nwidth.problems.heat:Heat",
        "stepped": "nwidth.problems.stepped:Stepped",
        "navier_stokes": "nwidth.problems.navier_stokes:NavierStokes",
        "thermal_block": "nwidth.problems.thermal_block:ThermalBlock",
        "power_module": "nwidth.problems.power_module:PowerModule",
        "power_module_transient": "nwidth.problems.power_module_transient:PowerModuleTransient",
        "signals": "nwidth.problems.parabolic_signals:Signals",
        "moving_bump": "nwidth.problems.moving_bump:MovingBump",
        "composite": "nwidth.problems.composite:Composite",
        "reciprocal_distance": "nwidth.problems.reciprocal_distance:ReciprocalDistance",
        "constant-function": "nwidth.problems.functions:Constant",
        "bump-function": "nwidth.problems.functions:Bump",
        "reciprocal-function": "nwidth.problems.functions:Reciprocal",
        "interpolated-problem": "nwidth.rb.interpolation.problem:Interpolated",
        "interpolant": "nwidth.rb.interpolation.interpolant:Interpolant",
        "interpolated-matrices": "nwidth.rb.interpolation.matrices:InterpolatedMatrices",
        "matrix-estimate": "nwidth.certificates.interpolated:MatrixEstimate",
        "box-bound": "nwidth.rb.interpolation.taylor:BoxBound",
        "interpolation-certificate": "nwidth.certificates.interpolation:InterpolationCertificate",
        "elasticity": "nwidth.problems.elasticity:Elasticity",
        "elasticity_field": "nwidth.problems.elasticity_field:ElasticityField",
        "elasticity_exact": "nwidth.problems.elasticity_exact:ElasticityExact",
        "min-theta": "nwidth.problems.min_theta:MinTheta",
        "anisotropic": "nwidth.problems.anisotropic:Anisotropic",
        "successive-constraints": "nwidth.bounds.scm:SuccessiveConstraints",
        "with-stability": "nwidth.rb.stability:WithStability",
        "formulas-with-stability": "nwidth.rb.stability:FormulasWithStability",
        "matrices": "nwidth.problems.matrices:MatrixProblem",
        "scaled-min-theta": "nwidth.rb.comparison:ScaledMinTheta",
        "sampled-stability": "nwidth.rb.comparison:SampledStability",
        # surrogates
        "reduced-basis": "nwidth.rb.galerkin:ReducedBasis",
        "reduced-evolution": "nwidth.rb.parabolic:ReducedEvolution",
        "mass-constants": "nwidth.rb.parabolic_constants:MassConstants",
        "pod-regression": "nwidth.rb.pod_regression:PODRegressionSurrogate",
        "parameter-features": "nwidth.rb.features:Features",
        "kernel-regression": "nwidth.rb.kernel:KernelRegression",
        "rbf-regression": "nwidth.rb.regressors.rbf:RBFRegression",
        "gaussian-process": "nwidth.rb.regressors.gaussian_process:GaussianProcess",
        "regression-deviation": "nwidth.rb.regressors.deviation:Deviation",
        "network-regression": "nwidth.rb.regressors.network:NetworkRegression",
        "operator": "nwidth.operators.architecture:OperatorSurrogate",
        "implicit-network": "nwidth.operators.ifno:ImplicitArchitecture",
        "fourier-network": "nwidth.operators.fno:FourierArchitecture",
        "series-network": "nwidth.operators.boundaries.architecture:SeriesArchitecture",
        "factorised-network": "nwidth.operators.ffno:FactorisedArchitecture",
        "fno": "nwidth.operators.fno:FNOSurrogate",
        "mgno": "nwidth.operators.mgno:MgNOArchitecture",
        "unet": "nwidth.operators.unet:UNetArchitecture",
        "evolved": "nwidth.operators.evolution_surrogate:Evolved",
        "deeponet": "nwidth.operators.deeponet:DeepONetArchitecture",
        "deeponet-surrogate": "nwidth.operators.deeponet:DeepONetSurrogate",
        "pod-deeponet": "nwidth.operators.pod_deeponet:PODArchitecture",
        "pod-deeponet-surrogate": "nwidth.operators.pod_deeponet:PODSurrogate",
        "own-module": "nwidth.operators.own_module:ModuleArchitecture",
        "measured": "nwidth.operators.measuring:Measured",
        "multigrid-tensor-network": "nwidth.operators.mg_tfno:MultigridArchitecture",
        "tensor-network": "nwidth.operators.tfno:TensorArchitecture",
        "wrapped": "nwidth.operators.wrap:WrappedSurrogate",
        # certificates
        "residual-certificate": "nwidth.certificates.residual:ResidualCertificate",
        "linear-residual-certificate": "nwidth.certificates.linear_residual:LinearResidualCertificate",
        "face-constants": "nwidth.bounds.nonsymmetric:FaceConstants",
        "inf-sup-constants": "nwidth.bounds.inf_sup_constants:InfSupConstants",
        "sampled-inf-sup": "nwidth.bounds.inf_sup_constants:SampledInfSup",
        "resonances": "nwidth.bounds.resonances:Resonances",
        "reduced-certificate": "nwidth.certificates.reduced:ReducedCertificate",
        "evolution-certificate": "nwidth.certificates.parabolic:EvolutionCertificate",
        "space-time-certificate": "nwidth.certificates.parabolic_residual:SpaceTimeCertificate",
        "dual-evolution-certificate": "nwidth.certificates.parabolic_dual:DualEvolutionCertificate",
        "output-certificate": "nwidth.certificates.outputs:OutputCertificate",
        "dual-model": "nwidth.rb.dual:DualModel",
        "lead-time-certificate": "nwidth.certificates.lead_time:LeadTimeCertificate",
        "conformal-certificate": "nwidth.certificates.conformal:ConformalCertificate",
        "pooled-cutoff": "nwidth.certificates.cutoffs:Pooled",
        "grouped-cutoff": "nwidth.certificates.groups:Grouped",
        "groups-by-range": "nwidth.certificates.groups:ByRange",
        "groups-by-difficulty": "nwidth.certificates.groups:ByDifficulty",
        "weighted-cutoff": "nwidth.certificates.weighted:Weighted",
        "shift-between-boxes": "nwidth.certificates.weighted:BetweenBoxes",
        "learned-shift": "nwidth.certificates.weighted:LearnedShift",
        "residual-hint": "nwidth.certificates.hints:Residual",
        "spread-hint": "nwidth.certificates.hints:Spread",
        "mirrored": "nwidth.certificates.self_consistency:Mirrored",
        "coarser": "nwidth.certificates.self_consistency:Coarser",
        "through-split-point": "nwidth.certificates.self_consistency:ThroughSplitPoint",
        "cross-conformal-certificate": "nwidth.certificates.cross_conformal:CrossConformalCertificate",
        "estimator-certificate": "nwidth.certificates.estimator:EstimatorCertificate",
        "reduced-residual-certificate": "nwidth.certificates.reduced_residual:ReducedResidualCertificate",
        "certified": "nwidth.online.wrappers:Certified",
        "cost-model": "nwidth.online.costs:CostModel",
        "refining": "nwidth.online.wrappers:Refining",
        "enriching": "nwidth.online.enrich:Enriching",
    }
)

#: Packages that belong to an extra: name -> the extra that installs it.
EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "torch": "neural",
        "pytorch_optimizer": "neural",
        "onnx": "export",
        "onnxscript": "export",
        "onnxruntime": "export",
        "h5py": "data",
        "xarray": "data",
        "meshio": "mesh",
        "pyamg": "mesh",
        "matplotlib": "report",
        "pypardiso": "fast",
        "neuralop": "bench",
    }
)


def available(package: str) -> bool:
    """Whether an optional package can be imported."""
    return importlib.util.find_spec(package) is not None


def load_attribute(target: str) -> Any:
    """The object at "module:attribute"; InputError names the extra to install where a package is missing."""
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "nwidth" or not package:
            raise
        extra = EXTRAS.get(package, "all")
        raise InputError(
            f"this needs the package {package!r}, which is not installed; run: pip install 'nwidth[{extra}]'"
        ) from error


def resolve(kind: str, extra: Sequence[type] = ()) -> Any:
    """The class for a kind: one of the caller's own classes first, then the built-in table.

    Raises InputError for an unknown kind, with what to pass.
    """
    for cls in extra:
        if getattr(cls, "kind", None) == kind:
            return cls
    if kind not in BUILTIN:
        raise InputError(
            f"kind {kind!r} is not known; if it is a class of your own, pass it: nw.load(path, kinds=[MyClass]). "
            f"Known: {', '.join(sorted(BUILTIN))}"
        )
    return load_attribute(BUILTIN[kind])
