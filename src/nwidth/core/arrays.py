"""Type aliases and the notation for shapes.

``B`` batch, ``P`` parameters, ``N`` degrees of freedom, ``C`` components, ``T`` time levels. The batch axis
comes first everywhere: parameters ``(B, ...)``, fields ``(B, *space.shape)``, dofs ``(B, N)``.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Real: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Mu: TypeAlias = Mapping[str, Array]
