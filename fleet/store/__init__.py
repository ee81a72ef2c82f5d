"""Where the fleet keeps series (points in time) and rows (the books)."""
