"""Simulated robots for the fleet side: what they say is made up, their way to it is real."""
