"""window.onnx: features computed inside the graph, from raw readings."""
