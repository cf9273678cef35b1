"""The published version beside the candidate: is the new one worse beyond chance?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from ml.config import OrganizationConfig
from ml.evaluation.comparison import Champion
from ml.evaluation.events import Probabilities, evaluated_events, resampling
from ml.evaluation.metrics import average_precision
from ml.evaluation.model_version import TrainedVersion, load_version
from ml.evaluation.onnx_model import shipped_model
from ml.evaluation.rows import EvaluatedData, rows_seen
from ml.export.session import Scorer
from ml.learning.events.failures import epoch_seconds
from ml.learning.events.metrics import event_metrics
from ml.learning.events.ranking_bootstrap import resampled_average_precision
from ml.learning.events.resampling import percentile_interval
from ml.windows.parallel import available_cpus
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.store import current_version

_SAME_GRID = ("aggregation", "max_gap_seconds", "during_failure", "recovery_seconds")


def compare_with_published(
    config: OrganizationConfig,
    paths: OrganizationPaths,
    trained: TrainedVersion,
    rows: EvaluatedData,
    probability: Probabilities,
    threshold: float | Probabilities,
) -> Champion | None:
    """Score the published version, with its own features and threshold, on the candidate's rows.

    Rows that the published version was trained on are left out, as it would look too good on them, unless it kept
    answers on them by models that had not seen them. Both are compared
    on the same bootstrap samples, so that what is hard about a sample is hard for both.

    Raises IntegrityError if the published version is not what its manifest says.

    Parameters
    ----------
    probability, threshold
        The candidate's, (n_scored,).

    Returns
    -------
    The comparison, or why there was none. None where nothing is published, the candidate itself is, or the
    configuration says ``ignore``.
    """
    options = config.validation_config
    version = None if options.champion == "ignore" else current_version(paths)
    if version is None or version == config.version:
        return None
    champion = load_version(config.model_copy(update={"version": version}), paths)
    kept = _kept_answers(rows.frame, champion)
    unseen = ~rows_seen(rows.frame, champion) | ~np.isnan(kept)
    common = replace(rows, scored=rows.scored & unseen)
    published = Champion(
        version=version,
        rows=int(common.scored.sum()),
        margin=options.champion_margin,
        required=options.champion == "require",
    )
    reason = _incomparable(champion, trained, rows.frame) or _too_little(config, trained, common)
    if reason is not None:
        return replace(published, skipped=reason)

    features = champion.engineer.matrix(common.frame, rows=common.scored)
    content = shipped_model(champion, common.frame, common.scored, config.conversion_config.parity_rows)
    of_champion = Scorer(content, threads=available_cpus()).probability(features)
    kept = kept[common.scored]
    of_champion = np.where(np.isnan(kept), of_champion, kept)
    shared = unseen[rows.scored]
    of_candidate = probability[shared]
    groups, drawn = resampling(config, common)
    gain = resampled_average_precision(common.label, of_candidate, groups, drawn) - resampled_average_precision(
        common.label, of_champion, groups, drawn
    )
    interval = percentile_interval(gain)
    if interval is None:
        return replace(published, skipped="most bootstrap samples hold no failure")
    their_events = evaluated_events(config, trained, common, of_champion, champion.metadata.threshold)
    own_limit = threshold if isinstance(threshold, float) else threshold[shared]
    own_events = evaluated_events(config, trained, common, of_candidate, own_limit)
    return replace(
        published,
        average_precision=average_precision(common.label == 1, of_champion),
        candidate_average_precision=average_precision(common.label == 1, of_candidate),
        interval=interval,
        events=event_metrics(their_events, options.costs),
        candidate_events=event_metrics(own_events, options.costs),
    )


def _kept_answers(frame: pd.DataFrame, champion: TrainedVersion) -> Probabilities:
    """What models that had not seen a row said about it for the published version, (n_rows,); NaN where none did."""
    answers = np.full(len(frame), np.nan, dtype=np.float32)
    if champion.judged is None:
        return answers
    judged = champion.judged
    known = pd.MultiIndex.from_arrays([judged.asset, judged.seconds])
    rows = pd.MultiIndex.from_arrays([frame["asset_id"].astype(str), epoch_seconds(frame["timestamp"])])
    place = known.get_indexer(rows)
    answers[place >= 0] = judged.probability[place[place >= 0]]
    return answers


def _incomparable(champion: TrainedVersion, trained: TrainedVersion, frame: pd.DataFrame) -> str | None:
    """Why the published version cannot be asked about these rows; None if it can."""
    if champion.metadata.horizon_seconds != trained.metadata.horizon_seconds:
        return f"it looks {champion.metadata.horizon_seconds} s ahead, this one {trained.metadata.horizon_seconds} s"
    if champion.engineer.interval != trained.engineer.interval:
        return f"it reads a grid of {champion.engineer.interval} s, this one of {trained.engineer.interval} s"
    if champion.metadata.grid.own_gaps != trained.metadata.grid.own_gaps:
        return "other machines are known to log slowly, or at another pace"
    for name in _SAME_GRID:
        if getattr(champion.config.data_config, name) != getattr(trained.config.data_config, name):
            return f"its grid was made with another dataConfig ({name.replace('_', ' ')})"
    missing = [name for name in champion.engineer.channels if name not in frame.columns]
    return f"it reads {missing[0]}, which the test rows do not have" if missing else None


def _too_little(config: OrganizationConfig, trained: TrainedVersion, common: EvaluatedData) -> str | None:
    """Why the rows that the published version has not seen decide nothing; None if they do."""
    label = common.label
    if not (label == 1).any() or not (label == 0).any():
        return f"it was trained on all but {label.size} of the test rows, and these hold one class at most"
    silent = np.zeros(label.size, dtype=np.float32)
    failures = len(evaluated_events(config, trained, common, silent, 0.5).failures.asset)
    needed = config.data_config.min_failure_events
    if failures < needed:
        return f"the test rows that it was not trained on hold {failures} failures, and at least {needed} are needed"
    return None
