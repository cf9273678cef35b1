"""A trained model as ONNX, and the proof that both give the same bits."""
