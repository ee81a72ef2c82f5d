"""The backup safety model: it knows what a healthy arm does next, and says when it does not."""
