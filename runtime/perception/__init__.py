"""The robot's eyes: inference, cascade, tracks, stereo; `visiond` is the process around them."""
