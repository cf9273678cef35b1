"""Configurations as hypothesis draws them: dictionaries as they stand in a JSON file, valid by construction."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ml.options.schema import RESERVED_COLUMNS

Json = dict[str, Any]

ROLES = ("temperature", "pressure", "flow", "vibration", "current", "voltage", "speed", "power", "load", "ambient")

identifiers = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]|\.(?=[A-Za-z0-9])){0,20}", fullmatch=True).filter(
    lambda name: (
        name.split(".")[0].lower() not in {"con", "prn", "aux", "nul"}
        and not name.split(".")[0].lower().startswith(("com", "lpt"))
    )
)
column_names = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (*RESERVED_COLUMNS, "failure_indicator")
)
scores = st.none() | st.floats(0, 1)
shares = st.floats(0.001, 1)
positive = st.integers(1, 10**6)
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z")


@st.composite
def schemas(draw: st.DrawFn) -> Json:
    """A schemaConfig: columns, and subsets of them in their special parts."""
    names = draw(st.lists(column_names, min_size=1, max_size=6, unique=True))
    continuous = names[: draw(st.integers(1, len(names)))]
    marks = draw(st.lists(st.sampled_from(["counter", "operating", "plain"]), min_size=6, max_size=6))
    optional = {
        "lagSeconds": st.lists(positive, max_size=4, unique=True) | st.none(),
        "rollingWindows": st.lists(st.integers(2, 500), min_size=1, max_size=4, unique=True) | st.none(),
        "columnRoles": st.dictionaries(st.sampled_from(continuous), st.sampled_from(ROLES)),
        "columnUnits": st.dictionaries(st.sampled_from(continuous), st.sampled_from(["°C", "l/min", "1"])),
        "columnMapping": st.dictionaries(
            column_names.filter(lambda name: name not in names), st.sampled_from(continuous), max_size=1
        ),
        "table": st.text(min_size=1, max_size=8) | st.none(),
    }
    return {
        "continuousColumns": continuous,
        "booleanColumns": names[len(continuous) :],
        "counterColumns": [name for name, mark in zip(continuous, marks, strict=False) if mark == "counter"],
        "operatingColumns": [name for name, mark in zip(continuous, marks, strict=False) if mark == "operating"],
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


lgb_params = st.fixed_dictionaries(
    {},
    optional={
        "numLeaves": st.integers(2, 131_072),
        "learningRate": st.floats(1e-9, 1e9),
        "featureFraction": shares | st.none(),
        "baggingFreq": st.integers(0, 100),
        "maxDepth": st.integers(-1, 60),
        "metric": st.sampled_from(["auc", "average_precision"]),
        "extraTrees": st.booleans(),
        "objective": st.just("binary"),
        "zeroAsMissing": st.booleans(),
    },
)
training_sections = st.fixed_dictionaries(
    {},
    optional={
        "modelType": st.sampled_from(["lightgbm", "random_forest", "something_else"]),
        "lgbParams": lgb_params,
        "rfParams": st.fixed_dictionaries({}, optional={"maxFeatures": st.sampled_from(["sqrt", "log2"]) | shares}),
        "modelParams": st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | positive | st.text(max_size=8)),
        "randomState": st.integers(0, 2**31 - 1),
    },
)
family_sections = st.fixed_dictionaries(
    {},
    optional={
        "raw": st.booleans(),
        "time": st.booleans() | st.just({"enabled": True, "cycles": ["hour"]}),
        "rolling": st.fixed_dictionaries(
            {}, optional={"statistics": st.lists(st.sampled_from(["mean", "std", "slope"]), unique=True)}
        ),
        "anomaly": st.fixed_dictionaries({}, optional={"outlierThreshold": st.floats(1e-3, 1e3)}),
    },
)
storages = st.sampled_from([None, "postgresql://searcher@host:5432/trials", "postgresql:///trials?sslmode=require"])
search_spaces = st.dictionaries(
    st.sampled_from(["numLeaves", "learningRate"]),
    st.fixed_dictionaries({"choices": st.lists(positive | st.floats(0, 1) | st.booleans(), min_size=1, max_size=3)})
    | st.fixed_dictionaries({"low": st.floats(0.1, 1), "high": st.floats(1, 10), "log": st.booleans()}),
)
searches = {"searchSpace": search_spaces | st.none(), "workers": st.integers(1, 1024), "storage": storages}
validation_sections = st.fixed_dictionaries(
    {},
    optional={
        "minAccuracy": scores,
        "minEventRecall": scores,
        "maxLatencyMs": st.none() | st.floats(0.1, 1e4),
        "threshold": scores,
        "noiseLevels": st.lists(st.floats(0.01, 5), max_size=3),
        "referenceScores": st.lists(
            st.fixed_dictionaries({"name": st.text(min_size=1, max_size=40), "path": st.text(min_size=1)}), max_size=2
        ),
    },
)
sources = st.sampled_from(
    [
        {},
        {"dataSource": {"path": "data/readings.csv"}},
        {"scadaDbConfig": {"driver": "sqlite", "database": "plant.sqlite", "table": "readings"}},
        {"scadaDbConfig": {"database": "historian", "host": "h", "port": 5432, "passwordEnv": "SECRET"}},
    ]
)


@st.composite
def configurations(draw: st.DrawFn) -> Json:
    """A whole configuration in the nested form."""
    optional = {
        "version": identifiers,
        "outputPath": st.none() | st.text(max_size=8),
        "industry": st.sampled_from([None, "manufacturing", "power_generation", "chemical_process"]),
        "dataRange": st.fixed_dictionaries({}, optional={"startDate": times}),
        "dataConfig": st.fixed_dictionaries(
            {},
            optional={
                "samplingIntervalSeconds": positive,
                "predictionHorizonSeconds": st.integers(0, 10**7),
                "validationSplit": st.floats(0.01, 0.4),
                "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
            },
        ),
        "featureConfig": st.fixed_dictionaries({}, optional={"families": family_sections}),
        "trainingConfig": training_sections,
        "tuningConfig": st.fixed_dictionaries({}, optional=searches),
        "validationConfig": validation_sections,
        "conversionConfig": st.fixed_dictionaries({}, optional={"publish": st.sampled_from(["always", "never"])}),
    }
    required = {"organizationId": identifiers, "schemaConfig": schemas()}
    return {**draw(st.fixed_dictionaries(required, optional=optional)), **draw(sources)}
