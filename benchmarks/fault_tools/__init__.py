"""What the benchmark of faults breaks the backend with: a damaging proxy, a memory thief, Blenders to be killed."""
