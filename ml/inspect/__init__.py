"""What a source of readings is, from a sample of its rows, and a first configuration for it."""

if __name__ == "inspect":  # ml/ is the working directory, and somebody wants Python's own module of this name
    import os
    import sys
    from importlib.util import module_from_spec, spec_from_file_location

    _spec = spec_from_file_location("inspect", os.path.join(os.path.dirname(os.__file__), "inspect.py"))  # noqa: PTH118, PTH120
    assert _spec is not None  # Python has it
    assert _spec.loader is not None
    sys.modules["inspect"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["inspect"])
