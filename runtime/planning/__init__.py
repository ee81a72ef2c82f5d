"""The local planner (people in the way, 1.2 s ahead) and the reactive fallback controller."""
