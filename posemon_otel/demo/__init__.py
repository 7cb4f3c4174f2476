"""A whole pose generator on loopback: the FLUX stand-in, the worker and its traffic."""
