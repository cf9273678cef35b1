"""Step-by-step loops: the obvious form of what `simulation` computes for whole series at once."""

from __future__ import annotations

from collections.abc import Sequence


def litres_counted(
    flow_lpm: Sequence[float], interval: float, start: float, replaced: Sequence[bool], modulus: int
) -> list[float]:
    count, readings = start, []
    for flow, new_meter in zip(flow_lpm, replaced, strict=True):
        count = 0.0 if new_meter else count + flow * interval / 60
        readings.append(float(int(count) % modulus))
    return readings


def alarm_states(readings: Sequence[float], switches_on: float, switches_off: float) -> list[bool]:
    state, states = False, []
    for reading in readings:
        if reading > switches_on:
            state = True
        elif reading < switches_off:
            state = False
        states.append(state)
    return states


def held(values: Sequence[float], frozen: Sequence[bool]) -> list[float]:
    shown = values[0]
    result = []
    for value, is_frozen in zip(values, frozen, strict=True):
        shown = shown if is_frozen else value
        result.append(shown)
    return result


def lagged(target: Sequence[float], decay: float) -> list[float]:
    value, response = target[0], []
    for goal in target:
        value = decay * value + (1 - decay) * goal
        response.append(value)
    return response
