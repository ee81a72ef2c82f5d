"""The learned policy at 100 Hz: observation, action chunks, checks before acting, hot backup."""
