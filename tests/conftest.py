"""What every test shares: how hard the property tests look."""

import os

from hypothesis import HealthCheck, settings

SLOW_MACHINE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
# The gate says the same thing twice; `nightly` is the one that searches anew.
settings.register_profile(
    "dev", max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW_MACHINE
)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, suppress_health_check=SLOW_MACHINE
)
settings.register_profile(
    "nightly", max_examples=5000, deadline=None, suppress_health_check=SLOW_MACHINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
