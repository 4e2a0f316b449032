"""The run folder and what is done with it: train, evaluate, predict, compare, report, export, bench."""
