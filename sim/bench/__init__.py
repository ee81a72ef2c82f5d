"""Speed and size as JSON, with the peer measured beside each figure in the same run."""
