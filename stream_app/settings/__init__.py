"""Where the system runs: one object for every role."""

from stream_app.settings.load import Settings, load_settings

__all__ = ["Settings", "load_settings"]
