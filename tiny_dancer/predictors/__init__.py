"""Predictors of expected quality: how good will each agent's answer to this request be?

All follow ``QualityPredictor``, in scikit-learn's manner, and none knows a database.
"""
