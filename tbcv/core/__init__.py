"""The data layer: the models, and the `DatabaseManager` that puts engine, sessions and migrations together."""
