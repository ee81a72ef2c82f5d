"""Every module in this folder holds one `CHECK`; a new file and a band in YAML add one."""
