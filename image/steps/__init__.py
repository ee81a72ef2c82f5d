"""What `image/build.py` calls, one file a step."""
