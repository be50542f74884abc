"""aelab: a laboratory for autoencoders.

Importing the package is free: torch and Lightning load with the parts that use them.
"""

__version__ = "0.1.0"
