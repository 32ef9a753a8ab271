"""``pushed.json``: what a push came to. Reading it does not import TFX."""

import json
from pathlib import Path
from typing import Any

PUSHED = "pushed.json"


def read_push(uri: str) -> dict[str, Any]:
    """Reads a ``pushed_model`` artifact's report; see ``executor.push``."""
    text: str = (Path(uri) / PUSHED).read_text(encoding="utf-8")
    return dict(json.loads(text))
