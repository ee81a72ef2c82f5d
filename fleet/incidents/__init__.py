"""Incidents: opened by alerts or by hand, worked through by a runbook, closed when it is over."""
