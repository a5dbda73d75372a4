"""A Kubernetes API server in memory, with a kubelet, a scheduler and controllers that are driven by hand.

It is as much of Kubernetes as the operator sees: ``Cluster`` puts it together, ``Server.handle`` is the one place
through which every request passes. It has no threads and never sleeps; time and randomness come from outside.
Where it and a real API server disagree the real one is right: ``conformance`` holds scripts that run on both.
"""
