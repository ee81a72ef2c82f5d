"""What a disk can be left as when power goes, and what the boot loader makes of it."""
