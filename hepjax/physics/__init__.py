"""Kinematics, jet substructure and simulation."""
