"""model.onnx: the forms of models, the parts of a graph, and what a graph may hold."""
