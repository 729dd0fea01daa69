"""What this machine has and lacks, and which of it this repository needs."""
