"""Composes the roles from the settings; each role has a module, since each imports other clients."""
