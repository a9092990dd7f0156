"""What a run needs of the machine: processes, trainers, devices, threads, signals, files."""
