"""The robot's eyes: inference, the cascade, tracks, stereo; `visiond` is the process around them."""
