"""Where the outside begins: one outside library per file, each behind a protocol of `stream_app.ports`."""
