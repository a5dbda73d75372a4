"""Katib's API group, served: its Experiments are carried out as ours, and shown as Katib shows them."""
