"""The command ``tiny-dancer``: what is done to a host or from outside a database."""
