"""Hardware as the runtime sees it: clocks, cameras, compute. The simulator stands behind the same doors."""
