"""The process that holds an embedding model once for all connections of a host.

``server`` speaks to the clients (``tiny_dancer.embedding.service``), ``batching`` brings their
texts together, ``engine`` runs the model, ``socket_claim`` owns the socket. Nothing of it is ever
imported by a backend.
"""
