"""onnxruntime with its telemetry off. Nothing else imports it.

Some seconds after its first session the library opens a connection to its maker, and what it could not send stays in a
cache in the home folder, which all organisations would share. It reads the variable below once, when it is loaded.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # whatever it was: "0" or "" would leave it on

import onnxruntime as onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

onnxruntime.disable_telemetry_events()  # the rest of it, where a notebook had loaded the library before us

__all__ = ["onnxruntime", "runtime_errors"]
