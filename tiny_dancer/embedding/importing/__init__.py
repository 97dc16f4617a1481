"""Turning a sentence-transformers model into a model folder; never needed by a backend.

Needs the extra ``model-import``. Torch is not among it: the weights are read from
safetensors and the graph is written node by node.
"""
