"""Requests that become clips even if a process dies on the way: a ledger, a durable queue, workers."""
