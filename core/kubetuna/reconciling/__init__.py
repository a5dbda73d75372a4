"""Carrying a plan out: observe, plan, make durable, act."""
