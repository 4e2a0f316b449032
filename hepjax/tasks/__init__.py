"""Tasks: what is learnt from jets."""
