"""The pure core: `step` orders the stages; every stage returns or records what it decided and sends nothing."""
