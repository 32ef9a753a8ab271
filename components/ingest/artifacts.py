"""Artifact types of our own: they hold reports, carry no properties and so compile for KFP too.

A type's name is what TFX on Kubeflow Pipelines imports the type by (``_parse_raw_artifact``), and
its compiler takes no other form than ``package.Class``: see ``components.__getattr__``.
"""

from tfx.types import artifact


class QualityReport(artifact.Artifact):
    """What a component found in its data: ``report.json`` in the artifact's folder."""

    TYPE_NAME = "components.QualityReport"


class Quarantine(artifact.Artifact):
    """Input that was rejected, with the reason, as files in the artifact's folder."""

    TYPE_NAME = "components.Quarantine"
