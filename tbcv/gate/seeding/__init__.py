"""Fills a scratch database: the tables to be filled, and the values to fill them with."""
