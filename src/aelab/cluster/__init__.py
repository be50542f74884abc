"""The processes of one training: devices, ranks, rendezvous, Slurm, GPUs."""
