"""What every HTTP server of ours shares: who may ask, and errors as problem documents."""
