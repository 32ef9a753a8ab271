"""Artifact types of our own: they hold reports, carry no properties and so compile for KFP too."""

from tfx.types import artifact


class QualityReport(artifact.Artifact):
    """What a component found in its data: ``report.json`` in the artifact's folder."""

    TYPE_NAME = "QualityReport"


class Quarantine(artifact.Artifact):
    """Input that was rejected, with the reason, as files in the artifact's folder."""

    TYPE_NAME = "Quarantine"
