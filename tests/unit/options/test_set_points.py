"""Set point pairs: what they may name, and what follows from them elsewhere in a configuration."""

import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.evaluation.perturbations.kinds import SensorProfile
from ml.findings import Finding

PAIR = {"setPoint": "sv", "value": "pv"}


def configured(pairs, **more):
    schema = {"continuousColumns": ["sv", "pv", "load", "total"], "counterColumns": ["total"], "booleanColumns": ["on"]}
    return OrganizationConfig.from_dict(
        {"organizationId": "plant", "schemaConfig": schema | {"setPointPairs": pairs}, **more}
    )


def test_a_difference_has_a_name_of_its_own_or_one_of_both_columns():
    schema = configured([PAIR, {"setPoint": "sv", "value": "load", "name": "error"}]).schema_config
    assert list(schema.differences) == ["pv_minus_sv", "error"]
    assert schema.channels == ("sv", "pv", "load", "total", "on", "pv_minus_sv", "error")
    assert schema.sensor_columns == ("sv", "pv", "load", "total", "on")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([{"setPoint": "laod", "value": "pv"}], r"setPointPairs\[0\].setPoint names laod.*did you mean load"),
        ([PAIR, {"setPoint": "sv", "value": "total"}], r"setPointPairs\[1\].value names total, which is a counter"),
        ([{"setPoint": "on", "value": "pv"}], "not in continuousColumns"),
        ([{"setPoint": "pv", "value": "pv"}], "the same column"),
        ([PAIR, PAIR], "pv_minus_sv is taken"),
        ([PAIR | {"name": "load"}], "load is taken"),
        ([PAIR | {"name": "segment"}], "segment is taken"),
        ([PAIR | {"name": "failure_indicator"}], "failure_indicator is taken"),
        ([{"setPoint": "sv"}], "value"),
        ({"sv": "pv"}, "setPointPairs"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs, message):
    with pytest.raises(ConfigError, match=message):
        configured(pairs)


def test_a_pair_leaves_with_its_column_and_with_what_families_say_of_it():
    families = {"interactions": {"pairs": [["pv_minus_sv", "load"]]}, "rolling": {"columns": ["pv_minus_sv", "load"]}}
    config = configured([PAIR], featureConfig={"families": families})
    left = config.without_sensors(["sv"], Finding("COLUMNS_ABSENT", "no sv", "schemaConfig", "name it"))
    assert left.schema_config.set_point_pairs == ()
    assert left.feature_config.families.rolling.columns == ("load",)
    assert not left.feature_config.families.interactions.pairs
    assert config.without_sensors(["load"], Finding("A", "b", "c", "d")).schema_config.differences.keys() == {
        "pv_minus_sv"
    }


def test_prepared_data_does_not_depend_on_pairs():
    assert configured([PAIR]).settings_digest() == configured([]).settings_digest()


def test_the_backends_server_computes_no_differences():
    config = configured([PAIR], featureConfig={"servingProfile": "backend"})
    assert config.schema_config.set_point_pairs == ()
    assert [finding.field for finding in config.findings] == [
        "schemaConfig.counterColumns",
        "schemaConfig.setPointPairs",
    ]


def test_a_difference_counts_half_for_each_of_its_sensors():
    profile = SensorProfile(configured([PAIR]), {}, {"pv_minus_sv": 10.0, "load": 5.5, "pv": 1.0})
    assert profile.most_important(0.4) == ["pv", "load"]
    assert SensorProfile(configured([]), {}, {"load": 5.5, "pv": 1.0}).most_important(0.2) == ["load"]
