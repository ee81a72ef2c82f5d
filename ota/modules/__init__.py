"""Update modules: what the robot's client calls to install a profile or a model; no reboot."""
