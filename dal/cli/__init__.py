"""What the commands share: composing a configuration, running its jobs, the terminal."""
