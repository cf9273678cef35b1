"""Eagle Notifier's machine-learning training environment: one organisation's history in, a proven ONNX model out."""

__version__ = "0.1.0"
