"""The values of a run's parameters: ``--as-of`` and ``-p name=value``."""

import difflib
import json
from collections.abc import Iterable
from typing import Any

from pipeline.kubeflow.submit.errors import SubmitError

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "NUMBER_INTEGER": ((int,), "a whole number"),
    "NUMBER_DOUBLE": ((int, float), "a number"),
    "BOOLEAN": ((bool,), "true or false"),
    "LIST": ((list,), "a JSON list"),
    "STRUCT": ((dict,), "a JSON object"),
}


def run_values(pairs: Iterable[str], parameters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Reads ``name=value`` pairs by the types that the pipeline's parameters have.

    The server refuses a value of another type, an unknown name, and a parameter without value and
    default; here that is told before anything is uploaded.

    Args:
      pairs: what the user wrote.
      parameters: by name the type and default, as in the spec's ``inputDefinitions``.

    Raises:
      SubmitError: for the first pair that cannot be used, or if a value is missing.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SubmitError(f"-p {pair!r}: expected name=value")
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(parameters) or "it has none"
            raise SubmitError(
                f"-p {pair!r}: {name!r} is no parameter of the pipeline ({known}){hint}"
            )
        values[name] = _typed(pair, text, parameters[name].get("parameterType", "STRING"))
    for name, parameter in parameters.items():
        if name not in values and not ("defaultValue" in parameter or parameter.get("isOptional")):
            raise SubmitError(f"the parameter {name!r} has no default: give it by -p {name}=…")
    return values


def _typed(pair: str, text: str, kind: str) -> Any:
    if kind not in _KINDS:
        return text
    types, expected = _KINDS[kind]
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise SubmitError(f"-p {pair!r}: expected {expected}")
    return value
