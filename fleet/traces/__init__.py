"""Journeys of tasks: what robots and fleet did for each, step by step."""
