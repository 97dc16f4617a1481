"""What ruvector_train_router learns and ruvector_predict_quality says of it, without a database."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.agents.performance import AgentPerformance
from tiny_dancer.agents.registry import AgentRegistry
from tiny_dancer.learning.judged_fit import JudgedFit
from tiny_dancer.learning.learned_quality import LearnedQuality
from tiny_dancer.learning.outcome_table import OutcomeTable
from tiny_dancer.learning.router_model import RouterModel
from tiny_dancer.predictors.default_predictor import DEFAULT, predictor_by_name
from tiny_dancer.predictors.prior_blend import PriorBlend
from tiny_dancer.settings import Settings

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


def trained_model(
    embeddings: Vectors,
    lexical: Vectors,
    quality: Floats,
    asked: Rows,
    acting: Rows,
    *,
    predictor: str = DEFAULT,
    seed: int = 0,
) -> RouterModel:
    """Train as the database does, first without the tenth of the requests that it judges by.

    Args:
        embeddings: of all requests, [n, d].
        lexical: of all requests, [n, l].
        quality: of each agent on each, [n, a].
        asked: request of each outcome, [m].
        acting: its agent, [m].
        predictor: as ruvector_train_router takes it.
        seed: likewise.
    """
    table = OutcomeTable.of(embeddings, lexical, asked, acting, quality[asked, acting])
    fit = JudgedFit.of(predictor_by_name(predictor, seed), table)
    return RouterModel.trained_on(fit.serving, table, model_id=0, last_usage_id=0)


def expected_quality(
    model: RouterModel, registry: AgentRegistry, embeddings: Vectors, lexical: Vectors
) -> Floats:
    """Return what is expected of the agents of a registry on requests, [n, a]."""
    settings = Settings()
    learned = LearnedQuality(
        model,
        registry,
        AgentPerformance(registry, settings),
        0.0,
        PriorBlend(settings.robust_prior, settings.learning_strength),
    )
    heads = learned.head_log_odds_batch(embeddings, lexical)
    return learned.expected(heads, np.zeros((len(embeddings), len(registry))))
