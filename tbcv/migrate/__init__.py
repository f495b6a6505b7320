"""The migration engine: facts about revisions and databases. Prints nothing and knows no models."""
