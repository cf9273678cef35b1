"""Model types behind one interface: each module of this package, but for `base`, is one.

A model type joins by adding one file that defines a subclass of `Estimator` whose ``model_type`` is the file's name.
Listing the types imports none of them, so a wrong ``trainingConfig.modelType`` is reported without loading a library.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from ml.errors import ConfigError, InternalError
from ml.options.base import nearest

if TYPE_CHECKING:
    from ml.learning.estimators.base import Estimator

__all__ = ["AUTO", "available", "check", "get"]

AUTO = "auto"
"""What `check` knows as well: training chooses the type, as `ml.learning.auto` says."""


def available() -> list[str]:
    """Names of the model types, sorted."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if name != "base" and not name.startswith("_"))


def check(model_type: str) -> None:
    """Refuse a model type that is not known, without loading a library.

    Raises ConfigError if there is no such type.
    """
    names = [*available(), AUTO]
    if model_type not in names:
        guess = nearest(model_type, names)
        raise ConfigError(
            f'trainingConfig.modelType "{model_type}" is not known; known are {", ".join(names)}',
            field="trainingConfig.modelType",
            hint=f'did you mean "{guess}"?' if guess else None,
        )


def get(model_type: str) -> type[Estimator]:
    """The class of a model type.

    Raises ConfigError if there is no such type, and InternalError if the type's file does not define it.
    """
    from ml.learning.estimators.base import Estimator

    check(model_type)
    module = importlib.import_module(f"{__name__}.{model_type}")
    for member in vars(module).values():
        if isinstance(member, type) and issubclass(member, Estimator) and vars(member).get("model_type") == model_type:
            return member
    raise InternalError(f"{module.__name__} defines no Estimator with model_type {model_type!r}")
