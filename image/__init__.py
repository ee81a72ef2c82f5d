"""A profile becomes a disk image: locked inputs in, two verified slots and a data partition out."""
