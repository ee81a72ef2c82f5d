"""How the eyes' networks are made: rendered data, training, ONNX export, cards, evaluation."""
