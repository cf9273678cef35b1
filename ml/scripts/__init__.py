"""The five steps, in order: data_prep, hyperparameter_tuning, train_model, validate_model, convert_to_onnx."""
