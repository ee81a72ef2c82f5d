"""Over-the-air updates: the boot environment, artifacts, the commit gate, rollouts."""
