"""Health of the machine and the arm: one file per check, judged by the profile's bands."""
