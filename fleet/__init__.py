"""The server side: certificates, broker, ingest, store, alerts and the robot's page."""
