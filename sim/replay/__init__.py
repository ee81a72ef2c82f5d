"""Detections told again from a recording, for guests that cannot render and look at pictures."""
