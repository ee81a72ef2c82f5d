"""Hardware as the runtime sees it: clocks, cameras, compute. A simulator may stand behind it."""
