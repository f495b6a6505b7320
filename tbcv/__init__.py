"""tbcv: the async data layer and schema-migration system of Truth-Based Content Validation.

Importing the package imports nothing heavy; each room is imported by whoever needs it.
"""

__version__ = "3.0.0"
