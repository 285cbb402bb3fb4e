"""The pure core: `step` orders the stages; each returns or records what it decided and sends nothing."""
