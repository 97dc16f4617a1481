"""The only package that knows PostgreSQL: from an SQL call to the pure package and back.

``extension`` is what a PL/Python body reaches; ``boundary`` turns errors into server errors;
``backend`` is what one server process keeps; ``store`` reads and writes tables; ``snapshot``
keeps the copy of the registry that decisions are made from.
"""
