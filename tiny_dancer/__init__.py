"""A router for AI agents: picks which agent should take a request.

The package is plain Python and NumPy and runs without a database; only
``tiny_dancer.pg`` knows PostgreSQL.
"""

__version__ = "0.2.0"
