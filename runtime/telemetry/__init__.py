"""Records on their way off the robot: client, spool, line protocol, uplink."""
