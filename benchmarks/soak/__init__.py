"""A live simulation under joins, kills, node loss, churn and malformed requests."""
