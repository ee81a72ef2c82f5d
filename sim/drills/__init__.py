"""The deployment criteria as drills: the robot's own code runs, a verdict and figures come out."""
