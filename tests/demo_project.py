"""The demo's own settings and schema, which most tests are written for.

In this repository they are the project's own; a project made from it keeps a copy of them in
``demo/project``, as its own say something else.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
_KEPT = ROOT / "demo/project"
PLANT = _KEPT if _KEPT.is_dir() else ROOT
"""A folder with the demo's files where a project has its own."""

SETTINGS = PLANT / "settings.yaml"
CLUSTER_SETTINGS = PLANT / "infra/kubeflow/settings.yaml"
SCHEMA = PLANT / "schemas/schema.pbtxt"
SCHEMA_BESIDE_THE_CODE = str(SCHEMA.relative_to(ROOT))
