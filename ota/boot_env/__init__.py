"""Which slot boots: two checked copies of one small record on the EFI system partition."""
