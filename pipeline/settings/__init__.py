"""settings.yaml: one typed tree, and errors that say what to mend."""

from pipeline.settings.errors import Problem, SettingsError
from pipeline.settings.load import load_settings, parse_settings
from pipeline.settings.models import Settings

__all__ = ["Problem", "Settings", "SettingsError", "load_settings", "parse_settings"]
