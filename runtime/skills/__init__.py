"""Skills: signed folders of behaviour, checked before use and kept through days without network."""
