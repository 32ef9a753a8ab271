"""Whether a backend would take a compiled package: its rules, tried before it is asked.

A server tells a broken rule when a run is made of the package, or when a task of it is already
running; some it never tells, and the run hangs. Each rule names where it comes from; paths are
those of kubeflow/pipelines unless another project is named.
"""

from pipeline.kubeflow.acceptance import kubernetes, pipeline_spec, vertex
from pipeline.kubeflow.acceptance.rules import Candidate, NotAcceptedError, Rule
from pipeline.kubeflow.resources import Backend

RULES: tuple[Rule, ...] = (*pipeline_spec.RULES, *kubernetes.RULES, *vertex.RULES)


def check_accepted(backend: Backend, text: str) -> None:
    """Refuses a package that its backend would refuse.

    Args:
      backend: whom it is for.
      text: the package's bytes, as they would be sent.

    Raises:
      NotAcceptedError: with every broken rule.
    """
    candidate = Candidate.read(backend, text)
    broken = [
        (rule, told) for rule in RULES if backend in rule.backends for told in rule.check(candidate)
    ]
    if broken:
        raise NotAcceptedError(backend, broken)


__all__ = ["RULES", "Candidate", "NotAcceptedError", "Rule", "check_accepted"]
