"""Text to unit vectors: providers that a backend can afford, and how models reach them.

A provider is opened from a model folder (``model_folder``) or, where it needs no files,
made directly (``hashing``, ``external``). Nothing here ever imports torch; turning a
sentence-transformers model into a folder is the work of ``importing``.
"""
