"""Suites, votes, ratings, leaderboards: what is found out about generators here."""
