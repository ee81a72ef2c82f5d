"""The robot's page: a view made of texts, states and drawings; templates and static files."""
