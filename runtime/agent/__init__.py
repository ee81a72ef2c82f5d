"""The unhurried half of the runtime agent: modes, tasks, skills, health, and the local API."""
