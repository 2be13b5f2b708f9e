"""Whether an answer is right. Pure, but for the processes of symbolic checks."""
